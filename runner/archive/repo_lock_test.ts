// Serialised commits per repository: two runners with real SQL archive episodes of the same title.

import assert from "node:assert/strict";
import { startGateway } from "../../dev/emulators/supabase/gateway.ts";
import { makeProjectKeys } from "../../dev/emulators/supabase/keys.ts";
import { createTestHub } from "../../dev/emulators/hub/test_hub.ts";
import { createTestDatabase } from "../../dev/testing/test_database.ts";
import { replicate } from "./replicate.ts";
import { stageFile } from "../transfer/staged_file.ts";
import type { LockRepo } from "../targets/target.ts";
import { storageTargetsFromEnv } from "../storage_targets.ts";
import { createQueue } from "../queue/queue.ts";
import { createRepoLock } from "./repo_lock.ts";

async function startRunners() {
  const database = await createTestDatabase();
  const keys = makeProjectKeys();
  const gateway = await startGateway({ port: 0, databaseUrl: database.authenticatorUrl, keys });
  const lockOf = (worker: string) =>
    createRepoLock(createQueue({ url: gateway.url, key: keys.secret, worker, leaseSeconds: 120 }));
  return {
    database,
    locks: [lockOf("one"), lockOf("two")],
    async [Symbol.asyncDispose]() {
      await gateway.stop();
      await database[Symbol.asyncDispose]();
    },
  };
}

Deno.test("repository lock: two runners commit → one after the other, both stored", async () => {
  await using runners = await startRunners();
  await using hub = await createTestHub({ accounts: ["alice"] });
  let inside = 0;
  let most = 0;
  const watched = (lock: LockRepo): LockRepo => async (repo, signal) => {
    const held = await lock(repo, signal);
    most = Math.max(most, ++inside);
    return {
      async [Symbol.asyncDispose]() {
        inside--;
        await held[Symbol.asyncDispose]();
      },
    };
  };
  const targets = storageTargetsFromEnv(hub.env);
  await Promise.all([1, 2, 3, 4].map(async (episode) => {
    const file = await stageFile((await hub.file(`${episode}.mp4`, 50_000, episode)).path);
    const lockRepo = watched(runners.locks[episode % 2]!);
    const { failures } = await replicate(file, { malId: 1, episode, fileKey: "ab" }, { targets, lockRepo });
    assert.deepEqual(failures, []);
  }));
  assert.equal(most, 1);
  const commits = hub.hub.calls.filter((call) => call.at === "commit").map((call) => call.status);
  assert.deepEqual(commits, [200, 200, 200, 200], "no commit ran into another one");
});

Deno.test("repository lock: its runner was killed → free after its lease", async () => {
  await using runners = await startRunners();
  const [one, two] = runners.locks;
  await one!("alice/archive-1", undefined); // never given back
  await runners.database.admin`update keepstream.resource_leases set expires_at = now() - interval '1 second'`;
  await using _held = await two!("alice/archive-1", undefined);
  const [row] = await runners.database.admin`select holder from keepstream.resource_leases`;
  assert.match(row!.holder, /^two#/);
});
