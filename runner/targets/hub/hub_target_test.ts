// A Hub account as a storage target: changed files, lost leases, reads, removals, probes.
import assert from "node:assert/strict";
import { createSemaphore } from "../../transfer/semaphore.ts";
import { stageFile } from "../../transfer/staged_file.ts";
import {
  ARCHIVE,
  assertStored,
  createHarness,
  PART,
  SIZE,
  storageErrorFrom,
} from "../../../dev/testing/hub_target_fixture.ts";

const secretText = "failed for https://cdn.test/x?Signature=abcdef&Expires=12345 with Bearer hf_aliceToken";

Deno.test("hub put: the repository is deleted meanwhile → created again, stored", async () => {
  await using harness = await createHarness();
  let dropped: Promise<void> | undefined;
  await harness.put({
    beforeCommit: async () => await (dropped ??= harness.test.hub.dropRepo("datasets/alice/archive-55825")),
  });
  await assertStored(harness);
  assert.equal(harness.test.countCalls("create_repo"), 2);
});

Deno.test("hub put: the file changes after hashing → changed, no commit", async () => {
  await using harness = await createHarness();
  const error = await storageErrorFrom(harness.put({
    onProgress: (bytes) => {
      if (bytes > PART) Deno.writeFileSync(harness.file.path, new Uint8Array([1]), { append: true });
    },
  }));
  assert.equal(error.problem, "changed");
  assert.equal(harness.test.countCalls("commit"), 0);
});

Deno.test("hub put: the file becomes shorter while sent → changed, no commit", async () => {
  await using harness = await createHarness();
  let cut = false;
  const error = await storageErrorFrom(harness.put({
    onProgress: (bytes) => {
      if (!cut && bytes > 0) Deno.truncateSync(harness.file.path, 1000);
      cut ||= bytes > 0;
    },
  }));
  assert.equal(error.problem, "changed");
  assert.equal(harness.test.countCalls("commit"), 0);
});

Deno.test("hub put: no space for a journal → stored nevertheless", async () => {
  await using harness = await createHarness();
  const path = `${harness.test.dir}/work/${"x".repeat(245)}.mp4`; // a name with a suffix would be too long
  await Deno.rename(harness.file.path, path);
  const file = await stageFile(path);
  const copy = await harness.target.put(file, harness.target.locationOf(ARCHIVE), { semaphore: createSemaphore(6) });
  assert.equal(copy.sha256, file.sha256);
});

Deno.test("hub put: lease lost before the commit → no commit", async () => {
  await using harness = await createHarness();
  const lost = new Error("the lease is lost");
  await assert.rejects(harness.put({ beforeCommit: () => Promise.reject(lost) }), lost);
  assert.equal(harness.test.countCalls("commit"), 0);
});

Deno.test("hub put: two runners, one job → one complete file, both succeed", async () => {
  await using harness = await createHarness();
  const otherPath = `${harness.test.dir}/other.mp4`;
  await Deno.copyFile(harness.file.path, otherPath);
  const other = await stageFile(otherPath);
  const [a, b] = await Promise.all([
    harness.put(),
    harness.target.put(other, harness.target.locationOf(ARCHIVE), { semaphore: createSemaphore(6) }),
  ]);
  assert.equal(a.sha256, b.sha256);
  const stat = await harness.target.find(harness.target.locationOf(ARCHIVE));
  assert.equal(stat?.sha256, harness.file.sha256);
  assert.equal(harness.test.hub.usedBytes("alice"), SIZE);
});

Deno.test("hub put: another file at the location → replaced", async () => {
  await using harness = await createHarness();
  await harness.put();
  const other = await stageFile((await harness.test.file("b.mp4", 5000, 2)).path);
  const copy = await harness.target.put(other, harness.target.locationOf(ARCHIVE), { semaphore: createSemaphore(6) });
  assert.equal(copy.sha256, other.sha256);
  assert.equal((await harness.target.find(harness.target.locationOf(ARCHIVE)))?.sizeBytes, 5000);
});

for (
  const [failure, problem] of [
    ["resolve_403", "account_flagged"],
    ["resolve_404", "missing"],
    ["cdn_403", "auth"],
    ["cdn_404", "transient"],
    ["cdn_416", "refused"],
    ["resolve_500", "transient"],
    ["resolve_429", "transient"],
  ] as const
) {
  Deno.test(`hub read: ${failure} → ${problem}`, async () => {
    await using harness = await createHarness();
    await harness.put();
    harness.test.hub.fail(failure);
    assert.equal((await storageErrorFrom(harness.target.read(harness.target.locationOf(ARCHIVE)))).problem, problem);
  });
}

Deno.test("hub remove: file, object and history are gone; again → absent", async () => {
  await using harness = await createHarness();
  const copy = await harness.put();
  const location = harness.target.locationOf(ARCHIVE);
  assert.equal(await harness.target.remove(location), "removed");
  assert.equal(await harness.target.find(location), null);
  assert.equal(harness.test.hub.usedBytes("alice"), 0);
  const old = await fetch(copy.directUrl, { headers: { authorization: "Bearer hf_aliceToken" } });
  await old.body?.cancel();
  assert.equal(old.status, 404, "the location with the old commit is dead too");
  assert.equal(await harness.target.remove(location), "absent");
});

Deno.test("hub remove: URLs of other episodes, which name commits → still valid", async () => {
  await using harness = await createHarness();
  await harness.put();
  const second = harness.target.locationOf({ ...ARCHIVE, episode: 2 });
  const other = await stageFile((await harness.test.file("b.mp4", 5000, 2)).path);
  const sibling = await harness.target.put(other, second, { semaphore: createSemaphore(6) });
  await harness.target.remove(harness.target.locationOf(ARCHIVE));
  await harness.target.removeTitle({ malId: 55825, episode: 1 });
  const response = await fetch(sibling.directUrl, { headers: { authorization: "Bearer hf_aliceToken" } });
  assert.equal(response.status, 200);
  assert.equal((await response.arrayBuffer()).byteLength, 5000);
});

Deno.test("hub remove: another path refers to the object → the object is kept", async () => {
  await using harness = await createHarness();
  await harness.put();
  const twin = harness.target.locationOf({ ...ARCHIVE, fileKey: "f".repeat(32) });
  await harness.target.put(harness.file, twin, { semaphore: createSemaphore(6) });
  await harness.target.remove(harness.target.locationOf(ARCHIVE));
  assert.equal((await harness.target.find(twin))?.sha256, harness.file.sha256);
  const stored = await new Response(await harness.target.read(twin)).arrayBuffer();
  assert.equal(stored.byteLength, SIZE);
});

Deno.test("hub probe: used bytes; another user's token → auth", async () => {
  await using harness = await createHarness();
  await harness.put();
  assert.deepEqual(await harness.target.probe(), { usedBytes: SIZE });
  harness.test.hub.user("alice").state = "revoked";
  assert.equal((await storageErrorFrom(harness.target.probe())).problem, "auth");
});

Deno.test("hub put: any error → contains no token and no signed URL", async () => {
  await using harness = await createHarness();
  const messages: string[] = [];
  for (const at of ["lfs_batch", "upload_part", "complete", "commit", "paths_info"] as const) {
    for (
      const effect of [{ do: "reset" }, { do: "respond", status: 500, body: "json", message: secretText }] as const
    ) {
      harness.test.hub.clearFailures();
      harness.test.hub.fail({ at, effect, times: 99 });
      const error = await storageErrorFrom(harness.put());
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) messages.push(cause.message);
    }
  }
  assert.ok(messages.length >= 10);
  assert.doesNotMatch(messages.join("\n"), /hf_[A-Za-z]|Signature=[A-Za-z0-9_-]{4}|Expires=\d/);
});
