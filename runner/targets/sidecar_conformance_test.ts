// What every storage target guarantees for the sidecars of a copy.

import assert from "node:assert/strict";
import { KeepstreamError } from "../../core/errors.ts";
import { ARCHIVE, assertBeside, bytesAt, KINDS, OTHER, PART, SIZE } from "../../dev/testing/target_harness.ts";
import { createSemaphore } from "../transfer/semaphore.ts";

for (const [kind, { createHarness, ignore = false }] of Object.entries(KINDS)) {
  const test = (name: string, fn: () => Promise<void>) => Deno.test({ name: `${kind}: ${name}`, ignore, fn });

  for (const [size, name] of [[SIZE, "in parts"], [PART - 3, "in one piece"]] as const) {
    test(`put ${name}, beside → all stored; first seen when all are`, async () => {
      await using harness = await createHarness();
      const { target } = harness;
      const sidecars = await harness.sidecars();
      const location = target.locationOf(ARCHIVE);
      let made = 0;
      let seenEarly = false;
      const copy = await harness.put(await harness.stage("a.mp4", size), {
        beside: () => Promise.resolve((made++, sidecars)),
        beforeCommit: async () => void (seenEarly ||= await target.find(location) !== null),
      });
      assert.deepEqual([made, seenEarly, copy.alreadyThere], [1, false, false]);
      await assertBeside(target, sidecars);
      assert.deepEqual(await target.sidecarsOf(target.locationOf(OTHER)), []);
    });
  }

  test("put, beside: the copy lacks some or has others → added, replaced", async () => {
    await using harness = await createHarness();
    const file = await harness.stage("a.mp4", SIZE);
    await harness.put(file);
    const video = harness.sentBytes();
    for (const version of ["1", "2"]) {
      const sidecars = await harness.sidecars(version);
      const put = () => harness.put(file, { beside: () => Promise.resolve(sidecars) });
      assert.equal((await put()).alreadyThere, false);
      await assertBeside(harness.target, sidecars);
      const sent = harness.sentBytes();
      assert.equal((await put()).alreadyThere, true, "nothing is lacking");
      assert.equal(harness.sentBytes(), sent);
    }
    assert.ok(harness.sentBytes() - video < video, "the video was not sent again");
    assert.deepEqual(await bytesAt(harness.target), await Deno.readFile(file.path));
  });

  test("put, beside: making them fails → that error, nothing visible", async () => {
    await using harness = await createHarness();
    const failure = new KeepstreamError("disk_full", "no space for a playlist");
    const put = harness.put(await harness.stage("a.mp4", SIZE), { beside: () => Promise.reject(failure) });
    await assert.rejects(put, failure);
    assert.equal(await harness.target.find(harness.target.locationOf(ARCHIVE)), null);
  });

  test("put, beside: lease lost before the commit → nothing visible", async () => {
    await using harness = await createHarness();
    const sidecars = await harness.sidecars();
    const lost = new Error("the lease is lost");
    const beside = () => Promise.resolve(sidecars);
    const file = await harness.stage("a.mp4", SIZE);
    await assert.rejects(harness.put(file, { beside, beforeCommit: () => Promise.reject(lost) }), lost);
    await assertBeside(harness.target, []);
    await harness.put(file);
    await assert.rejects(harness.put(file, { beside, beforeCommit: () => Promise.reject(lost) }), lost);
    await assertBeside(harness.target, []);
  });

  test("remove, beside: all files of the key go, no others; again → absent", async () => {
    await using harness = await createHarness();
    const { target } = harness;
    const sidecars = await harness.sidecars();
    const beside = () => Promise.resolve(sidecars);
    const neighbour = target.locationOf({ ...ARCHIVE, fileKey: `${ARCHIVE.fileKey}00` });
    const semaphore = createSemaphore(6);
    await harness.put(await harness.stage("a.mp4", SIZE), { beside });
    await target.put(await harness.stage("b.mp4", 1000, 2), neighbour, { semaphore, beside });
    const location = target.locationOf(ARCHIVE);
    assert.equal(await target.remove(location), "removed");
    await assertBeside(target, []);
    assert.equal(await target.find(location), null);
    assert.equal(await target.remove(location), "absent");
    assert.equal((await target.sidecarsOf(neighbour)).length, sidecars.length);
    assert.equal(await target.removeTitle({ malId: 55825, episode: 1 }), sidecars.length + 1);
    assert.deepEqual(await target.sidecarsOf(neighbour), []);
    assert.deepEqual(await harness.put(await harness.stage("a.mp4", SIZE)).then(() => target.sidecarsOf(location)), []);
  });
}
