import assert from "node:assert/strict";
import { createEvents } from "./events.ts";
import { type Bars, showBars } from "./progress_bars.ts";

Deno.test("showBars: a bar per claimed job that follows its bytes, and a line for how it ended", () => {
  const said: string[] = [];
  const bars: Bars = {
    create: (_total, _start, payload) => {
      said.push(`create ${JSON.stringify(payload)}`);
      return {
        setTotal: (total) => said.push(`total ${total}`),
        update: (value, payload) => said.push(`at ${value} ${JSON.stringify(payload)}`),
      };
    },
    remove: () => said.push("remove"),
    log: (line) => said.push(line.trim()),
    stop: () => said.push("stop"),
  };
  const events = createEvents();
  showBars(events, bars);
  events.emit({
    event: "job:claimed",
    id: "1",
    malId: 5,
    episode: 2,
    provider: "animasu",
    resolution: "720p",
    attempt: 1,
  });
  events.emit({
    event: "job:progress",
    id: "1",
    phase: "downloading",
    bytesDone: 5e6,
    bytesTotal: 10e6,
    bytesPerSecond: 2.5e6,
    etaSeconds: 2,
  });
  events.emit({ event: "job:finished", id: "1", copies: 2, failures: 0, ms: 4200 });
  events.emit({ event: "job:finished", id: "unknown", copies: 2, failures: 0, ms: 4200 });
  events.emit({ event: "runner:stopped" });
  assert.deepEqual(said, [
    'create {"name":"animasu 5/2 720p","phase":"resolving","speed":"","eta":""}',
    "total 10000000",
    'at 5000000 {"phase":"downloading","speed":"2.5 MB/s","eta":"2 s left"}',
    "animasu 5/2 720p: archived, 2 copies, 4.2 s",
    "remove",
    "stop",
  ]);
});
