import assert from "node:assert/strict";
import type { HlsPlan } from "./hls_plan.ts";
import { openSegmentJournal } from "./segment_journal.ts";

const plan = {
  renditions: [{
    role: "video",
    segments: [0, 1].map((sequence) => ({
      sequence,
      durationSeconds: 2,
      url: `https://cdn.test/${sequence}.ts`,
      byteRange: null,
    })),
  }],
} as unknown as HlsPlan;

Deno.test("openSegmentJournal: reopened → committed segments only", async () => {
  const dir = await Deno.makeTempDir();
  {
    await using journal = await openSegmentJournal(dir, plan);
    using first = await journal.begin("0-0");
    await first.write(new Uint8Array(10));
    await first.commit("ts");
    using second = await journal.begin("0-1");
    await second.write(new Uint8Array(20));
  }
  await using again = await openSegmentJournal(dir, plan);
  assert.deepEqual([...again.done.values()], [{ file: "0-0", bytes: 10, container: "ts" }]);
  assert.equal(again.bytes(), 10);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("openSegmentJournal: no space to rewrite it → the old one stays valid", async () => {
  const dir = await Deno.makeTempDir();
  {
    await using journal = await openSegmentJournal(dir, plan);
    using first = await journal.begin("0-0");
    await first.write(new Uint8Array(10));
    await first.commit("ts");
  }
  await Deno.symlink("/dev/full", `${dir}/journal.ndjson.part`);
  await assert.rejects(openSegmentJournal(dir, plan));
  await Deno.remove(`${dir}/journal.ndjson.part`);
  await using again = await openSegmentJournal(dir, plan);
  assert.deepEqual([...again.done.keys()], ["0-0"]);
  await Deno.remove(dir, { recursive: true });
});
