// Every failure of the Hub: the copy is stored once and complete, or the refusal is classified.

import assert from "node:assert/strict";
import type { FailureName } from "../../../dev/emulators/hub/failures.ts";
import { startHub } from "../../../dev/emulators/hub/hub.ts";
import { createTestHub, type TestHub } from "../../../dev/emulators/hub/test_hub.ts";
import { createHubTarget } from "./hub_target.ts";
import type { RetryTimes } from "../../transfer/retry.ts";
import { createSemaphore } from "../../transfer/semaphore.ts";
import { type StagedFile, stageFile } from "../../transfer/staged_file.ts";
import { StorageError } from "../../transfer/storage_error.ts";
import type { PutOptions, StorageTarget } from "../target.ts";

const ARCHIVE = { malId: 55825, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
const PART = 1 << 18;
/** Five parts, the last one shorter. */
const SIZE = 4 * PART + 1000;

interface Harness extends AsyncDisposable {
  readonly test: TestHub;
  readonly target: StorageTarget;
  readonly targetAt: (endpoint: string) => StorageTarget;
  readonly file: StagedFile;
  /** Requested delays, in ms; nothing sleeps. */
  readonly waits: number[];
  put(options?: Partial<PutOptions>): ReturnType<StorageTarget["put"]>;
}

async function createHarness(times: Partial<RetryTimes> = {}, options: { chunkBytes?: number; size?: number } = {}) {
  const test = await createTestHub({
    accounts: ["alice"],
    chunkBytes: options.chunkBytes ?? PART,
    multipartThresholdBytes: options.chunkBytes ?? PART,
  });
  const waits: number[] = [];
  const sleep = (ms: number, signal?: AbortSignal): Promise<void> => {
    waits.push(ms);
    signal?.throwIfAborted();
    return new Promise((resolve) => setTimeout(resolve));
  };
  const targetAt = (endpoint: string) =>
    createHubTarget({
      endpoint,
      username: "alice",
      token: "hf_aliceToken",
      repoPrefix: "archive",
      account: 1,
      retry: {
        fetch,
        sockets: true,
        times: { attempts: 4, idleTimeoutMs: 20_000, backoffMs: 100, maxWaitMs: 60_000, keptAliveMs: 20_000, ...times },
        sleep,
        random: () => 1,
      },
    });
  const target = targetAt(test.hub.url);
  const file = await stageFile((await test.file("a.mp4", options.size ?? SIZE)).path);
  const semaphore = createSemaphore(6);
  const harness: Harness = {
    test,
    target,
    targetAt,
    file,
    waits,
    put: (extra) => target.put(file, target.locationOf(ARCHIVE), { semaphore, ...extra }),
    [Symbol.asyncDispose]: () => test[Symbol.asyncDispose](),
  };
  return harness;
}

/** The stored bytes are the file's, main refers to them, and there are exactly `commits` commits. */
async function assertStored({ test, target, file }: Harness, commits = 1) {
  const location = target.locationOf(ARCHIVE);
  const stored = new Uint8Array(await new Response(await target.read(location)).arrayBuffer());
  assert.deepEqual(stored, await Deno.readFile(file.path));
  const history = await fetch(`${test.hub.url}/api/datasets/${location.repo}/commits/main`, {
    headers: { authorization: "Bearer hf_aliceToken" },
  });
  const titles: string[] = (await history.json()).map((commit: { title: string }) => commit.title);
  assert.equal(titles.filter((title) => title.startsWith("Archive ")).length, commits);
  const left = [...Deno.readDirSync(`${test.dir}/work`)].map((entry) => entry.name);
  assert.deepEqual(left, ["a.mp4"], "the journal is gone");
}

async function problemOf(run: Promise<unknown>): Promise<StorageError> {
  const error = await run.then(() => null, (reason) => reason);
  assert.ok(error instanceof StorageError, `a StorageError, not ${error}`);
  return error;
}

const SURVIVED: readonly FailureName[] = [
  "create_repo_500",
  "create_repo_conflicting",
  "create_repo_reset_after",
  "batch_500",
  "batch_html",
  "batch_object_error",
  "part_500",
  "part_503",
  "part_html",
  "part_reset",
  "part_reset_midway",
  "part_reset_after",
  "part_truncated",
  "part_no_etag",
  "part_expired",
  "complete_500",
  "complete_landed_504",
  "verify_500",
  "commit_500",
  "commit_moved",
  "commit_locked",
  "commit_landed_504",
  "commit_landed_reset",
  "commit_object_missing",
  "look_500",
  "look_html",
];

for (const failure of SURVIVED) {
  Deno.test(`hub put: ${failure} → stored once, complete`, async () => {
    await using harness = await createHarness();
    harness.test.hub.fail(failure);
    const copy = await harness.put();
    assert.equal(copy.sha256, harness.file.sha256);
    await assertStored(harness);
  });
}

for (const failure of ["basic_500", "basic_reset_midway", "basic_truncated"] as const) {
  Deno.test(`hub put: a small file, ${failure} → stored once, complete`, async () => {
    await using harness = await createHarness({}, { chunkBytes: 1 << 22 });
    harness.test.hub.fail(failure);
    await harness.put();
    await assertStored(harness);
  });
}

for (const failure of ["batch_hang", "part_hang", "part_hang_midway", "commit_hang"] as const) {
  Deno.test(`hub put: ${failure} → continues after the idle timeout`, async () => {
    await using harness = await createHarness({ idleTimeoutMs: 1500 });
    harness.test.hub.fail(failure);
    await harness.put();
    await assertStored(harness);
  });
}

Deno.test("hub put: the repository exists (409) → stored", async () => {
  await using harness = await createHarness();
  await harness.put();
  await harness.target.remove(harness.target.locationOf(ARCHIVE));
  harness.test.hub.fail("create_repo_exists");
  await harness.put();
  assert.equal(harness.test.countCalls("create_repo"), 1, "the repository was seen, not made again");
});

for (const failure of ["batch_rate_limited_retry_after", "batch_rate_limited_header"] as const) {
  Deno.test(`hub put: ${failure} → waits as the Hub requests`, async () => {
    await using harness = await createHarness();
    harness.test.hub.fail(failure);
    await harness.put();
    assert.deepEqual(harness.waits, [1000]);
    await assertStored(harness);
  });
}

Deno.test("hub put: Retry-After beyond the limit → rate_limited with that time", async () => {
  await using harness = await createHarness();
  harness.test.hub.fail({
    at: "lfs_batch",
    effect: {
      do: "respond",
      status: 429,
      body: "json",
      message: "slow down",
      headers: { RateLimit: `"api";r=0;t=280` },
    },
  });
  const error = await problemOf(harness.put());
  assert.equal(error.code, "rate_limited");
  assert.equal(error.retryAfterSeconds, 280);
  assert.deepEqual(harness.waits, []);
});

Deno.test("hub put: hourly commit quota → rate_limited for an hour, one commit", async () => {
  await using harness = await createHarness();
  harness.test.hub.fail("commit_hourly_quota");
  const error = await problemOf(harness.put());
  assert.equal(error.code, "rate_limited");
  assert.equal(error.retryAfterSeconds, 3600);
  assert.equal(harness.test.countCalls("commit"), 1);
  const sent = harness.test.uploadedBytes();
  await harness.put();
  assert.equal(harness.test.uploadedBytes(), sent);
  await assertStored(harness);
});

for (
  const [failure, problem, code] of [
    ["batch_quota", "quota", "storage_full"],
    ["commit_quota", "quota", "storage_full"],
    ["abuse", "account_flagged", "storage_denied"],
    ["batch_object_refused", "refused", "too_large"],
  ] as const
) {
  Deno.test(`hub put: ${failure} → ${problem}, not repeated`, async () => {
    await using harness = await createHarness();
    harness.test.hub.fail(failure, { times: 9 });
    const error = await problemOf(harness.put());
    assert.equal(error.problem, problem);
    assert.equal(error.code, code);
    assert.deepEqual(harness.waits, []);
  });
}

Deno.test("hub put: the account is full → quota", async () => {
  await using harness = await createHarness();
  harness.test.hub.user("alice").quotaBytes = SIZE - 1;
  assert.equal((await problemOf(harness.put())).problem, "quota");
});

Deno.test("hub put: the token expires → auth; a new one resumes", async () => {
  await using harness = await createHarness();
  const alice = harness.test.hub.user("alice");
  harness.test.hub.fail({ at: "complete", effect: { do: "reset" }, times: 99 });
  const error = await problemOf(harness.put({
    onProgress: (bytes) => {
      if (bytes > PART) alice.state = "revoked";
    },
  }));
  assert.equal(error.problem, "auth");
  assert.match(error.message, /hub:alice/);
  alice.state = "ok";
  harness.test.hub.clearFailures();
  await harness.put();
  await assertStored(harness);
});

Deno.test("hub put: interrupted, then another HF_ENDPOINT → its own URLs, stored", async () => {
  await using harness = await createHarness();
  const { test, file, target } = harness;
  const cut = new AbortController();
  const half = harness.put({
    signal: cut.signal,
    onProgress: (bytes) => bytes > PART && cut.abort(new Error("cut short")),
  });
  await assert.rejects(half, { message: "cut short" });
  const users = [{ name: "alice", token: "hf_aliceToken" }];
  const other = await startHub({ dir: `${test.dir}/hub`, users, multipartThresholdBytes: PART, chunkBytes: PART });
  const there = harness.targetAt(other.url);
  const copy = await there.put(file, there.locationOf(ARCHIVE), { semaphore: createSemaphore(6) });
  assert.equal((await there.find(target.locationOf(ARCHIVE)))?.sha256, file.sha256);
  assert.ok(copy.directUrl.startsWith(other.url));
  await other.stop();
});

Deno.test("hub put: the account is gone → transient (network), after all attempts", async () => {
  await using harness = await createHarness();
  harness.test.hub.user("alice").state = "gone";
  const error = await problemOf(harness.put());
  assert.equal(error.problem, "transient");
  assert.equal(error.code, "network");
  assert.equal(harness.waits.length, 3);
});

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
  const error = await problemOf(harness.put({
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
  const error = await problemOf(harness.put({
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
    assert.equal((await problemOf(harness.target.read(harness.target.locationOf(ARCHIVE)))).problem, problem);
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
  assert.equal((await problemOf(harness.target.probe())).problem, "auth");
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
      const error = await problemOf(harness.put());
      for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) messages.push(cause.message);
    }
  }
  assert.ok(messages.length >= 10);
  assert.doesNotMatch(messages.join("\n"), /hf_[A-Za-z]|Signature=[A-Za-z0-9_-]{4}|Expires=\d/);
});

const secretText = "failed for https://cdn.test/x?Signature=abcdef&Expires=12345 with Bearer hf_aliceToken";
