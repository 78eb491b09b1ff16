// What every storage target guarantees, tested with each: the Hub, an S3 server, a folder.

import assert from "node:assert/strict";
import { ARCHIVE, bytesAt, KINDS, OTHER, PART, SIZE } from "../../dev/testing/target_harness.ts";
import { StorageError } from "../transfer/storage_error.ts";
import { createSemaphore } from "../transfer/semaphore.ts";

async function problemOf(run: Promise<unknown>): Promise<string> {
  const error = await run.then(() => null, (reason) => reason);
  assert.ok(error instanceof StorageError, `a StorageError, not ${error}`);
  return error.problem;
}

for (const [kind, { createHarness, ignore = false }] of Object.entries(KINDS)) {
  const test = (name: string, fn: () => Promise<void>) => Deno.test({ name: `${kind}: ${name}`, ignore, fn });

  for (const [size, name] of [[SIZE, "in parts"], [PART - 3, "in one piece"]] as const) {
    test(`put ${name} → the copy is returned, found and read back`, async () => {
      await using harness = await createHarness();
      const file = await harness.stage("a.mp4", size);
      const progress: number[] = [];
      const copy = await harness.put(file, { onProgress: (bytes) => void progress.push(bytes) });
      const location = harness.target.locationOf(ARCHIVE);
      assert.equal(copy.target, harness.target.name);
      assert.equal(copy.repo, location.repo);
      assert.equal(copy.path, `55825/ep1/${ARCHIVE.fileKey}.mp4`);
      assert.match(copy.repo, /^[A-Za-z0-9][A-Za-z0-9._/-]*\/archive-55825$/);
      assert.equal(copy.sha256, file.sha256);
      assert.equal(copy.sizeBytes, size);
      assert.equal(copy.alreadyThere, false);
      assert.match(copy.directUrl, /^http:\/\/127\.0\.0\.1:\d+\/.*archive-55825\/.*0123456789abcdef\.mp4$/);
      assert.equal(new URL(copy.directUrl).search, "");
      const found = await harness.target.find(location);
      assert.deepEqual([found?.sha256, found?.sizeBytes], [file.sha256, size]);
      assert.deepEqual(await bytesAt(harness.target), await Deno.readFile(file.path));
      assert.equal(progress.at(-1), size);
      assert.ok(progress.every((bytes) => bytes <= size), "never more than the file");
      assert.equal(harness.sentBytes(), size);
    });
  }

  test("put: the file exists → reported, nothing sent", async () => {
    await using harness = await createHarness();
    const file = await harness.stage("a.mp4", SIZE);
    await harness.put(file);
    const copy = await harness.put(file);
    assert.equal(copy.alreadyThere, true);
    assert.equal(harness.sentBytes(), SIZE);
  });

  test("put: another file at the location → replaced", async () => {
    await using harness = await createHarness();
    await harness.put(await harness.stage("a.mp4", SIZE));
    const other = await harness.stage("b.mp4", SIZE, 2);
    await harness.put(other);
    assert.equal((await harness.target.find(harness.target.locationOf(ARCHIVE)))?.sha256, other.sha256);
    assert.deepEqual(await bytesAt(harness.target), await Deno.readFile(other.path));
  });

  test("find, read, remove: no file → null, missing, absent", async () => {
    await using harness = await createHarness();
    await harness.put(await harness.stage("a.mp4", 1000));
    const location = harness.target.locationOf(OTHER);
    assert.equal(await harness.target.find(location), null);
    assert.equal(await problemOf(harness.target.read(location)), "missing");
    assert.equal(await harness.target.remove(location), "absent");
  });

  test("remove: a file → gone; again → absent; a new put works", async () => {
    await using harness = await createHarness();
    const file = await harness.stage("a.mp4", SIZE);
    await harness.put(file);
    const location = harness.target.locationOf(ARCHIVE);
    assert.equal(await harness.target.remove(location), "removed");
    assert.equal(await harness.target.find(location), null);
    assert.equal(await harness.target.remove(location), "absent");
    assert.equal((await harness.put(file)).alreadyThere, false);
  });

  test("removeTitle: an episode → its files only; a title → all of them", async () => {
    await using harness = await createHarness();
    const { target } = harness;
    const semaphore = createSemaphore(6);
    const first = target.locationOf(ARCHIVE);
    const tenth = target.locationOf({ ...ARCHIVE, episode: 10 }); // ep1 is a prefix of ep10
    for (const [seed, location] of [first, target.locationOf({ ...ARCHIVE, fileKey: "ff" }), tenth].entries()) {
      await target.put(await harness.stage(`${seed}.mp4`, 1000, seed + 1), location, { semaphore });
    }
    assert.equal(await target.removeTitle({ malId: 55825, episode: 1 }), 2);
    assert.equal(await target.find(first), null);
    assert.equal((await target.find(tenth))?.sizeBytes, 1000);
    assert.equal(await target.removeTitle({ malId: 55825 }), 1);
    assert.equal(await target.find(tenth), null);
    assert.equal(await target.removeTitle({ malId: 55825 }), 0);
  });

  test("put: aborted half-way → invisible; the next put sends the rest", async () => {
    await using harness = await createHarness();
    const file = await harness.stage("a.mp4", SIZE * 4);
    const stop = new AbortController();
    const reason = new Error("shutting down");
    await assert.rejects(
      harness.put(file, {
        signal: stop.signal,
        onProgress: (bytes) => bytes > SIZE * 2 && stop.abort(reason),
      }),
      reason,
    );
    assert.equal(await harness.target.find(harness.target.locationOf(ARCHIVE)), null);
    await harness.put(file);
    assert.deepEqual(await bytesAt(harness.target), await Deno.readFile(file.path));
    assert.ok(harness.sentBytes() <= SIZE * 4 + 3 * PART, `${harness.sentBytes()} bytes sent of ${SIZE * 4}`);
  });

  test("put: lease lost before it becomes visible → nothing visible", async () => {
    await using harness = await createHarness();
    const file = await harness.stage("a.mp4", SIZE);
    const lost = new Error("the lease is lost");
    await assert.rejects(harness.put(file, { beforeCommit: () => Promise.reject(lost) }), lost);
    assert.equal(await harness.target.find(harness.target.locationOf(ARCHIVE)), null);
  });

  test("put: the file changed after hashing → changed, nothing visible", async () => {
    await using harness = await createHarness();
    const file = await harness.stage("a.mp4", SIZE);
    await Deno.writeFile(file.path, new Uint8Array(SIZE));
    assert.equal(await problemOf(harness.put(file)), "changed");
    assert.equal(await harness.target.find(harness.target.locationOf(ARCHIVE)), null);
  });

  test("put: twice at the same time → one complete copy", async () => {
    await using harness = await createHarness();
    const file = await harness.stage("a.mp4", SIZE);
    const twin = await harness.stage("twin.mp4", SIZE);
    const copies = await Promise.all([harness.put(file), harness.put(twin)]);
    assert.deepEqual(copies.map((copy) => copy.sha256), [file.sha256, file.sha256]);
    assert.deepEqual(await bytesAt(harness.target), await Deno.readFile(file.path));
  });

  test("probe, put: wrong credentials → auth", async () => {
    await using harness = await createHarness();
    if (!harness.stranger) return;
    const file = await harness.stage("a.mp4", SIZE);
    assert.equal(await problemOf(harness.stranger.probe()), "auth");
    assert.equal(await problemOf(harness.put(file, {}, harness.stranger)), "auth");
  });

  test("identity file: none on a new target; written → read back, replaced", async () => {
    await using harness = await createHarness();
    assert.equal(await harness.target.readMarker(), null);
    for (const text of ["one\n", "two\n"]) {
      await harness.target.writeMarker(text);
      assert.equal(await harness.target.readMarker(), text);
    }
    await harness.put(await harness.stage("a.mp4", 1000));
    assert.equal(await harness.target.removeTitle({ malId: 55825 }), 1);
    assert.equal(await harness.target.readMarker(), "two\n", "a takedown leaves it");
  });

  test("identity file: wrong credentials → not read", async () => {
    await using harness = await createHarness();
    if (!harness.stranger) return;
    await harness.target.writeMarker("one\n");
    // The Hub does not distinguish a missing repository from one that the token cannot see.
    if (kind === "hub") assert.equal(await harness.stranger.readMarker(), null);
    else assert.equal(await problemOf(harness.stranger.readMarker()), "auth");
  });

  test("probe: a healthy store → the used bytes", async () => {
    await using harness = await createHarness();
    await harness.put(await harness.stage("a.mp4", SIZE));
    const { usedBytes } = await harness.target.probe();
    assert.equal(usedBytes, kind === "folder" ? SIZE + 65 : SIZE); // a folder stores the hash next to the file
  });
}
