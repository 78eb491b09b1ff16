// Failures of the Hub during a put: the copy is stored once and complete, or the refusal is classified.
import assert from "node:assert/strict";
import { type FailureName, TRANSIENT } from "../../../dev/emulators/hub/failures.ts";
import { startHub } from "../../../dev/emulators/hub/hub.ts";
import { createSemaphore } from "../../transfer/semaphore.ts";
import {
  ARCHIVE,
  assertStored,
  createHarness,
  PART,
  SIZE,
  storageErrorFrom,
} from "../../../dev/testing/hub_target_fixture.ts";

const SURVIVED: readonly FailureName[] = [
  ...TRANSIENT.filter((name) => !name.startsWith("basic_")),
  "create_repo_reset_after",
  "commit_moved",
  "commit_object_missing",
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
  const error = await storageErrorFrom(harness.put());
  assert.equal(error.code, "rate_limited");
  assert.equal(error.retryAfterSeconds, 280);
  assert.deepEqual(harness.waits, []);
});

Deno.test("hub put: hourly commit quota → rate_limited for an hour, one commit", async () => {
  await using harness = await createHarness();
  harness.test.hub.fail("commit_hourly_quota");
  const error = await storageErrorFrom(harness.put());
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
    const error = await storageErrorFrom(harness.put());
    assert.equal(error.problem, problem);
    assert.equal(error.code, code);
    assert.deepEqual(harness.waits, []);
  });
}

Deno.test("hub put: the account is full → quota", async () => {
  await using harness = await createHarness();
  harness.test.hub.user("alice").quotaBytes = SIZE - 1;
  assert.equal((await storageErrorFrom(harness.put())).problem, "quota");
});

Deno.test("hub put: the token expires → auth; a new one resumes", async () => {
  await using harness = await createHarness();
  const alice = harness.test.hub.user("alice");
  harness.test.hub.fail({ at: "complete", effect: { do: "reset" }, times: 99 });
  const error = await storageErrorFrom(harness.put({
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
  const error = await storageErrorFrom(harness.put());
  assert.equal(error.problem, "transient");
  assert.equal(error.code, "network");
  assert.equal(harness.waits.length, 3);
});
