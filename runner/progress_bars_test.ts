import assert from "node:assert/strict";
import { createEvents, logEvents } from "./events.ts";
import { type Bars, showBars } from "./progress_bars.ts";

function recordingBars() {
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
  return { said, bars };
}

Deno.test("showBars: claimed jobs → a bar each; ended jobs → a line each", () => {
  const { said, bars } = recordingBars();
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

const ESCAPES = "\u001b]0;owned\u0007\u001b[2J\u009b31m\u202e\r\nok";

Deno.test("showBars: foreign text in names and reasons → no terminal escapes", () => {
  const { said, bars } = recordingBars();
  const events = createEvents();
  showBars(events, bars);
  const claimed = { event: "job:claimed", malId: 5, episode: 2, resolution: ESCAPES, attempt: 1 } as const;
  events.emit({ ...claimed, id: "1", provider: ESCAPES });
  events.emit({ event: "queue:unavailable", during: "claim", message: ESCAPES });
  events.emit({ event: "job:failed", id: "1", code: "unsupported", message: ESCAPES });
  const name = "]0;owned[2J31m ok 5/2 ]0;owned[2J31m ok";
  assert.deepEqual(said, [
    `create ${JSON.stringify({ name, phase: "resolving", speed: "", eta: "" })}`,
    "the queue is unavailable (claim): ]0;owned[2J31m ok",
    `${name}: failed (unsupported): ]0;owned[2J31m ok`,
    "remove",
  ]);
});

Deno.test("logEvents: foreign text → escaped, the value unchanged", () => {
  const lines: string[] = [];
  const events = createEvents();
  logEvents(events, (line) => lines.push(line), () => new Date(0));
  events.emit({ event: "job:failed", id: "1", code: "unsupported", message: ESCAPES });
  assert.equal(JSON.parse(lines[0]!).message, ESCAPES);
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(lines[0]!, /[\u0000-\u001f\u007f-\u009f\u202e]/);
});
