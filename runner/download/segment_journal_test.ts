import assert from "node:assert/strict";
import { openSegmentJournal, removeVideoSegments } from "./segment_journal.ts";

Deno.test("openSegmentJournal: reopened → committed segments only", async () => {
  const dir = await Deno.makeTempDir();
  {
    await using journal = await openSegmentJournal(dir, ["video-a"]);
    using first = await journal.begin("video-a-0");
    await first.write(new Uint8Array(10));
    await first.commit("ts");
    using second = await journal.begin("video-a-1");
    await second.write(new Uint8Array(20));
  }
  await using again = await openSegmentJournal(dir, ["video-a"]);
  assert.deepEqual([...again.done.values()], [{ file: "video-a-0", bytes: 10, container: "ts" }]);
  assert.equal(again.bytes(), 10);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("openSegmentJournal: no space to rewrite it → the old one stays valid", async () => {
  const dir = await Deno.makeTempDir();
  {
    await using journal = await openSegmentJournal(dir, ["video-a"]);
    using first = await journal.begin("video-a-0");
    await first.write(new Uint8Array(10));
    await first.commit("ts");
  }
  await Deno.symlink("/dev/full", `${dir}/journal.ndjson.part`);
  await assert.rejects(openSegmentJournal(dir, ["video-a"]));
  await Deno.remove(`${dir}/journal.ndjson.part`);
  await using again = await openSegmentJournal(dir, ["video-a"]);
  assert.deepEqual([...again.done.keys()], ["video-a-0"]);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("openSegmentJournal: another height → shared audio stays, video is deleted", async () => {
  const dir = await Deno.makeTempDir();
  const store = async (renditions: readonly string[], file: string) => {
    await using journal = await openSegmentJournal(dir, renditions);
    using segment = await journal.begin(file);
    await segment.write(new Uint8Array(10));
    await segment.commit("ts");
  };
  await store(["video-a", "audio-b"], "video-a-0");
  await store(["video-a", "audio-b"], "audio-b-0");
  await store(["video-c", "audio-b"], "video-c-0");
  const names = async () => (await Array.fromAsync(Deno.readDir(dir), ({ name }) => name)).sort();
  assert.deepEqual(await names(), ["audio-b-0.ts", "journal.ndjson", "video-c-0.ts"]);
  await removeVideoSegments(dir);
  await using again = await openSegmentJournal(dir, ["video-c", "audio-b"]);
  assert.deepEqual([...again.done.keys()], ["audio-b-0"]);
  await Deno.remove(dir, { recursive: true });
});
