// What every storage target guarantees, tested with each: the Hub, an S3 server, a folder.

import assert from "node:assert/strict";
import { createTestHub } from "../../dev/emulators/hub/test_hub.ts";
import { hasSwift, startS3, startSwift } from "../../dev/emulators/s3/s3.ts";
import { createFolderTarget } from "./folder/folder_target.ts";
import { createHubTarget } from "./hub/hub_target.ts";
import type { RetryParts } from "../transfer/retry.ts";
import { sleep } from "../../core/sleep.ts";
import { createS3Target } from "./s3/s3_target.ts";
import { createSemaphore } from "../transfer/semaphore.ts";
import { type StagedFile, stageFile, stageSmall } from "../transfer/staged_file.ts";
import { StorageError } from "../transfer/storage_error.ts";
import { sidecarLocation } from "./sidecars.ts";
import type { PutOptions, Sidecar, StorageTarget } from "./target.ts";

const ARCHIVE = { malId: 55825, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
const OTHER = { ...ARCHIVE, episode: 2 };
const PART = 1 << 18;
const SIZE = 5 * PART + 7;

interface Harness extends AsyncDisposable {
  readonly target: StorageTarget;
  /** The same store with wrong credentials; null if it has none. */
  readonly stranger: StorageTarget | null;
  stage(name: string, sizeBytes: number, seed?: number): Promise<StagedFile>;
  /** A sidecar of every kind: large and small, text and binary. Two have the same bytes. */
  sidecars(version?: string): Promise<Sidecar[]>;
  put(file: StagedFile, options?: Partial<PutOptions>, target?: StorageTarget): ReturnType<StorageTarget["put"]>;
  /** Bytes of request bodies sent to the store. */
  sentBytes(): number;
}

const SWIFT = hasSwift();
const KINDS: Record<string, { createHarness: () => Promise<Harness>; ignore?: boolean }> = {
  hub: { createHarness: hubBench },
  s3: { createHarness: () => s3Bench(startS3) },
  [SWIFT ? "s3 on Swift" : "s3 on Swift (skipped: python3-swift is not installed)"]: {
    createHarness: () => s3Bench(startSwift),
    ignore: !SWIFT,
  },
  folder: { createHarness: folderBench },
};

/** Counts request bodies. */
function counting(): { retry: RetryParts; sent: () => number } {
  let sent = 0;
  const counted: typeof fetch = async (input, init) => {
    const size = init?.method === "PUT" && init.body instanceof Blob ? init.body.size : 0;
    const response = await fetch(input, init);
    if (response.ok) sent += size;
    return response;
  };
  const times = { attempts: 4, idleTimeoutMs: 20_000, backoffMs: 1, maxWaitMs: 1000, keptAliveMs: 20_000 };
  return { retry: { fetch: counted, times, sleep, random: Math.random }, sent: () => sent };
}

async function hubBench(): Promise<Harness> {
  const test = await createTestHub({ accounts: ["alice", "mallory"], chunkBytes: PART, multipartThresholdBytes: PART });
  const { retry, sent } = counting();
  const options = { endpoint: test.hub.url, username: "alice", repoPrefix: "archive", account: 1, retry };
  return {
    ...benchOf(createHubTarget({ ...options, token: "hf_aliceToken" }), test.file),
    stranger: createHubTarget({ ...options, token: "hf_malloryToken" }),
    sentBytes: sent,
    [Symbol.asyncDispose]: () => test[Symbol.asyncDispose](),
  };
}

async function s3Bench(start: typeof startSwift): Promise<Harness> {
  const test = await createTestHub({ accounts: [] });
  const s3 = await start({ dir: `${test.dir}/s3`, bucket: "archive-bucket" });
  const { retry, sent } = counting();
  const options = {
    endpoint: s3.url,
    bucket: "archive-bucket",
    region: "us-east-1",
    accessKeyId: s3.env.S3_ACCESS_KEY_ID!,
    repoPrefix: "archive",
    account: 1,
    retry,
    partBytes: PART,
  };
  return {
    ...benchOf(createS3Target({ ...options, secretAccessKey: s3.env.S3_SECRET_ACCESS_KEY! }), test.file),
    stranger: createS3Target({ ...options, secretAccessKey: "wrong" }),
    sentBytes: sent,
    async [Symbol.asyncDispose]() {
      await s3[Symbol.asyncDispose]();
      await test[Symbol.asyncDispose]();
    },
  };
}

async function folderBench(): Promise<Harness> {
  const test = await createTestHub({ accounts: [] });
  const root = `${test.dir}/folder`;
  await Deno.mkdir(root);
  let sent = 0;
  const target = createFolderTarget({
    root,
    folderName: "folder",
    baseUrl: "http://127.0.0.1:7860/archive",
    repoPrefix: "archive",
    account: 1,
  });
  const { put, ...harness } = benchOf(target, test.file);
  return {
    ...harness,
    stranger: null,
    put(file, options, other) {
      let last = 0;
      return put(file, {
        ...options,
        onProgress(bytes) {
          if (bytes - last <= 1 << 20) sent += bytes - last; // one step of copying; a larger one was on disk before
          last = bytes;
          options?.onProgress?.(bytes);
        },
      }, other);
    },
    sentBytes: () => sent,
    [Symbol.asyncDispose]: () => test[Symbol.asyncDispose](),
  };
}

type MakeFile = (name: string, sizeBytes: number, seed?: number) => Promise<{ path: string }>;

function benchOf(target: StorageTarget, makeFile: MakeFile): Pick<Harness, "target" | "stage" | "sidecars" | "put"> {
  const semaphore = createSemaphore(6);
  return {
    target,
    stage: async (name, sizeBytes, seed) => await stageFile((await makeFile(name, sizeBytes, seed)).path),
    async sidecars(version = "1") {
      const { path } = await makeFile("sidecars", 24);
      const texts = { ".m3u8": "", ".a0.m3u8": "#EXTM3U", ".s0.vtt": "WEBVTT", ".s1.vtt": "WEBVTT", ".manifest": "{}" };
      const bytes = { ...texts, ".sprite.jpg": "\xff".repeat(PART / 2 + 9), ".sprite.vtt": "WEBVTT sprite" };
      return await Promise.all(
        Object.entries(bytes).map(async ([ending, content]) => {
          await Deno.writeTextFile(path + ending, content + (content ? version : ""));
          return { ending, file: await stageSmall(path + ending) };
        }),
      );
    },
    put: (file, options, other = target) => other.put(file, other.locationOf(ARCHIVE), { semaphore, ...options }),
  };
}

async function bytesAt(target: StorageTarget): Promise<Uint8Array> {
  return new Uint8Array(await new Response(await target.read(target.locationOf(ARCHIVE))).arrayBuffer());
}

/** These sidecars are stored, and no others. */
async function assertBeside(target: StorageTarget, sidecars: readonly Sidecar[]) {
  const location = target.locationOf(ARCHIVE);
  assert.deepEqual((await target.sidecarsOf(location)).sort(), sidecars.map(({ ending }) => ending).sort());
  for (const { ending, file } of sidecars) {
    const stored = await new Response(await target.read(sidecarLocation(location, ending))).arrayBuffer();
    assert.deepEqual(new Uint8Array(stored), await Deno.readFile(file.path), ending);
  }
}

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
    const failure = new Error("no playlist");
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
