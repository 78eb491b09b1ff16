// One file to several accounts: requests, calls, and the failure of one of them.

import assert from "node:assert/strict";
import { createTestHub, type TestHub } from "../../dev/emulators/hub/test_hub.ts";
import { startS3 } from "../../dev/emulators/s3/s3.ts";
import { createCircuitBreaker } from "./circuit_breaker.ts";
import { replicate, replicationError } from "./replicate.ts";
import { stageFile } from "../transfer/staged_file.ts";
import type { StoredCopy } from "../targets/target.ts";
import { storageTargetsFromEnv } from "../storage_targets.ts";

const ARCHIVE = { malId: 55825, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
const TIMES = { attempts: 4, idleTimeoutMs: 10_000, backoffMs: 1 };
const SIZE = 1_000_000;

const targetsOf = (hub: TestHub) => storageTargetsFromEnv(hub.env, { times: TIMES });

Deno.test("replicate: several accounts → stored on all, onFirst called once", async () => {
  await using hub = await createTestHub({ accounts: ["alice", "bob", "carol"] });
  const { path, sha256 } = await hub.file("a.mp4", SIZE);
  const file = await stageFile(path);
  assert.equal(file.sha256, sha256);
  const firsts: StoredCopy[] = [];
  const progress: number[] = [];
  const { copies, failures } = await replicate(file, ARCHIVE, {
    targets: targetsOf(hub),
    onFirst: (copy) => void firsts.push(copy),
    onProgress: (bytes) => void progress.push(bytes),
  });
  assert.deepEqual(failures, []);
  assert.equal(copies.length, 3);
  assert.equal(firsts.length, 1);
  assert.equal(progress.at(-1), 3 * SIZE);
  assert.equal(hub.uploadedBytes(), 3 * SIZE);
  for (const copy of copies) {
    assert.equal(copy.sha256, sha256);
    assert.equal(copy.path, `55825/ep1/${ARCHIVE.fileKey}.mp4`);
    assert.match(copy.directUrl, new RegExp(`/datasets/${copy.repo}/resolve/[0-9a-f]{40}/55825/ep1/`));
  }
  for (const target of targetsOf(hub)) {
    const stored = await new Response(await target.read(target.locationOf(ARCHIVE))).arrayBuffer();
    assert.deepEqual(new Uint8Array(stored), await Deno.readFile(path));
  }
});

Deno.test("replicate: commits are not allowed → a failure, circuits stay closed", async () => {
  await using hub = await createTestHub({ accounts: ["alice"] });
  const breaker = createCircuitBreaker({ now: Date.now });
  for (let i = 0; i < 4; i++) {
    const file = await stageFile((await hub.file(`${i}.mp4`, SIZE + i)).path);
    const { failures } = await replicate(file, { ...ARCHIVE, episode: i + 1 }, {
      targets: targetsOf(hub),
      breaker,
      beforeCommit: () => Promise.reject(new Error("the lease is lost")),
    });
    assert.equal(failures.length, 1);
  }
  assert.equal(breaker.openReason(targetsOf(hub)[0]!.name), null);
});

Deno.test("replicate: a file that is stored already → one call per account", async () => {
  await using hub = await createTestHub({ accounts: ["alice", "bob"] });
  const file = await stageFile((await hub.file("a.mp4", SIZE)).path);
  const done = await replicate(file, ARCHIVE, { targets: targetsOf(hub) });
  hub.hub.calls.length = 0;
  const again = await replicate(file, ARCHIVE, { targets: targetsOf(hub) });
  assert.deepEqual(hub.hub.calls.map((call) => call.at), ["paths_info", "paths_info"]);
  assert.deepEqual(again.copies.map((copy) => copy.alreadyThere), [true, true]);
  assert.deepEqual(again.copies.map((copy) => copy.directUrl).sort(), done.copies.map((copy) => copy.directUrl).sort());
});

Deno.test("replicate: one account refuses its token → continues with the others", async () => {
  await using hub = await createTestHub({ accounts: ["alice", "bob"] });
  hub.hub.user("alice").state = "revoked";
  const file = await stageFile((await hub.file("a.mp4", SIZE)).path);
  const { copies, failures } = await replicate(file, ARCHIVE, { targets: targetsOf(hub) });
  assert.deepEqual(copies.map((copy) => copy.target), ["hub:bob"]);
  assert.deepEqual(failures.map(({ target, problem }) => ({ target, problem })), [{
    target: "hub:alice",
    problem: "auth",
  }]);
  assert.equal(replicationError(failures).retryable, true);
});

Deno.test("replicate: the first copy cannot be committed → everything stops", async () => {
  await using hub = await createTestHub({ accounts: ["alice", "bob"] });
  hub.hub.fail("part_hang", { user: "bob", times: 9 });
  const file = await stageFile((await hub.file("a.mp4", SIZE)).path);
  await assert.rejects(
    replicate(file, ARCHIVE, {
      targets: targetsOf(hub),
      onFirst: () => Promise.reject(new Error("the lease is lost")),
    }),
    /the lease is lost/,
  );
});

Deno.test("replicate: aborted → no request is left running, no copy", async () => {
  await using hub = await createTestHub({ accounts: ["alice", "bob"] });
  hub.hub.fail("part_hang", { times: 99 });
  const file = await stageFile((await hub.file("a.mp4", SIZE)).path);
  const stop = new AbortController();
  const running = replicate(file, ARCHIVE, {
    targets: targetsOf(hub),
    signal: stop.signal,
    onProgress: (bytes) => bytes > 0 && stop.abort(new Error("shutting down")),
  });
  await assert.rejects(running, /shutting down/);
  assert.equal(hub.countCalls("commit"), 0);
});

Deno.test("replicate: Hub, S3 and folder from one environment → three copies", async () => {
  await using hub = await createTestHub({ accounts: ["alice"] });
  await using s3 = await startS3({ dir: `${hub.dir}/s3`, bucket: "copies" });
  await Deno.mkdir(`${hub.dir}/folder`);
  const env = {
    STORAGE_FOLDER: `${hub.dir}/folder/`,
    STORAGE_FOLDER_URL: "http://127.0.0.1:1/archive",
    STORAGE_FOLDER_TOKEN: "t",
  };
  const targets = storageTargetsFromEnv({ ...hub.env, ...s3.env, ...env }, { times: TIMES });
  const size = 20 * 1024 * 1024; // two parts for S3
  const file = await stageFile((await hub.file("a.mp4", size)).path);
  const { copies, failures } = await replicate(file, ARCHIVE, { targets });
  assert.deepEqual(failures, []);
  assert.deepEqual(copies.map((copy) => copy.target).sort(), ["folder:folder", "hub:alice", "s3:copies"]);
  for (const target of targets) {
    const stored = await new Response(await target.read(target.locationOf(ARCHIVE))).arrayBuffer();
    assert.equal(new Uint8Array(await crypto.subtle.digest("SHA-256", stored)).toHex(), file.sha256, target.name);
  }
});

Deno.test("storageTargetsFromEnv: several variables missing → all are named", () => {
  assert.throws(
    () => storageTargetsFromEnv({ HF_STORAGE_ACCOUNT_COUNT: "2", HF_TOKEN_STORAGE_1: "hf_x" }),
    /HF_STORAGE_USERNAME_1 is missing; HF_TOKEN_STORAGE_2 is missing; HF_STORAGE_USERNAME_2 is missing/,
  );
});

for (const seed of [1, 2, 3, 4, 5, 6]) {
  Deno.test(`replicate: random failures (seed ${seed}) → complete on every account, one commit`, async () => {
    await using hub = await createTestHub({ accounts: ["alice", "bob"] });
    hub.hub.chaos({ seed, rate: 0.2 });
    const file = await stageFile((await hub.file("a.mp4", SIZE)).path);
    const targets = targetsOf(hub);
    let copies: StoredCopy[] = [];
    for (let run = 1; copies.length < targets.length; run++) {
      assert.ok(run <= 10, `done within 10 runs (seed ${seed})`);
      ({ copies } = await replicate(file, ARCHIVE, { targets }));
    }
    hub.hub.chaos(null);
    for (const target of targets) {
      const stored = new Uint8Array(await new Response(await target.read(target.locationOf(ARCHIVE))).arrayBuffer());
      assert.deepEqual(stored, await Deno.readFile(file.path), `${target.name} (seed ${seed})`);
    }
    for (const user of ["alice", "bob"]) {
      const history = await fetch(`${hub.hub.url}/api/datasets/${user}/archive-55825/commits/main`, {
        headers: { authorization: `Bearer hf_${user}Token` },
      });
      const titles: string[] = (await history.json()).map((commit: { title: string }) => commit.title);
      assert.equal(titles.filter((title) => title.startsWith("Archive ")).length, 1, `${user} (seed ${seed})`);
    }
  });
}
