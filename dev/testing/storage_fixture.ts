// Archives on emulated accounts and a folder, recorded in a real database that is reached through the REST gateway, for tests of
// maintenance. Example: `await using fixture = await createStorageFixture(); await fixture.archive(fixture.targets(2))`.

import { sealManifest } from "../../core/manifest/manifest.ts";
import { manifestKey } from "../../core/manifest/sealing.ts";
import { createDiskBudget } from "../../runner/work_dir/disk_budget.ts";
import { type ArchiveStore, createArchiveStore } from "../../runner/archive/archive_store.ts";
import { createCircuitBreaker } from "../../runner/archive/circuit_breaker.ts";
import { identified, type IdentifiedTarget } from "../../runner/archive/identity.ts";
import { replicate } from "../../runner/archive/replicate.ts";
import { createSemaphore } from "../../runner/transfer/semaphore.ts";
import { stageFile, stageSmall } from "../../runner/transfer/staged_file.ts";
import { manifestOf } from "../../runner/sidecars/manifest_of.ts";
import { storageTargetsFromEnv } from "../../runner/storage_targets.ts";
import type { StorageEnv } from "../../runner/targets/storage_env.ts";
import type { TaskTools } from "../../runner/archive/tasks.ts";
import { rewriting, SALT, SIZE } from "./rewriting_fixture.ts";
import { startGateway } from "../emulators/supabase/gateway.ts";
import { makeProjectKeys } from "../emulators/supabase/keys.ts";
import { createTestHub, type TestHub } from "../emulators/hub/test_hub.ts";
import { createTestDatabase, type TestDatabase } from "./test_database.ts";

export { SALT, SIZE };
export const KEY = "0123456789abcdef0123456789abcdef";

export interface StorageFixture extends AsyncDisposable {
  readonly test: TestHub;
  readonly database: TestDatabase;
  readonly store: ArchiveStore;
  /** Where the store reaches the database, for another process. */
  readonly gateway: { readonly url: string; readonly key: string };
  /** Targets of the first accounts, and of a folder. */
  targets(accounts: number, env?: StorageEnv): IdentifiedTarget[];
  tools(targets: readonly IdentifiedTarget[]): TaskTools;
  /** Output of the tools. */
  readonly lines: string[];
  /** Archives one episode on the targets and records it, like a runner. */
  archive(targets: readonly IdentifiedTarget[], episode?: number, video?: Uint8Array): Promise<string>;
  /** Stores sidecars beside the copy of an archived episode. */
  putBeside(target: IdentifiedTarget, texts: Readonly<Record<string, string>>, episode?: number): Promise<void>;
  /** These texts and a manifest of the archived episode that lists them. */
  withManifest(texts: Readonly<Record<string, string>>): Promise<Record<string, string>>;
  states(): Promise<Record<string, string>>;
  events(): Promise<string[]>;
}

export async function createStorageFixture(): Promise<StorageFixture> {
  const test = await createTestHub({ accounts: ["alice", "bob", "carol"] });
  const database = await createTestDatabase();
  const keys = makeProjectKeys();
  const gateway = await startGateway({ port: 0, databaseUrl: database.authenticatorUrl, keys });
  const store = createArchiveStore({ url: gateway.url, key: keys.secret, worker: "test" });
  await Deno.mkdir(`${test.dir}/folder`);
  const breaker = createCircuitBreaker({ now: Date.now });
  const workDir = `${test.dir}/work`;
  const { serviceRole } = database;
  const lines: string[] = [];
  const sealingKey = await manifestKey(SALT);

  await serviceRole`insert into public.providers (name, recipe, rights) values ('animasu', 'page', 'own work')`;
  return {
    test,
    database,
    store,
    gateway: { url: gateway.url, key: keys.secret },
    lines,
    targets: (accounts, env) =>
      storageTargetsFromEnv({
        ...test.env,
        HF_STORAGE_ACCOUNT_COUNT: String(accounts),
        STORAGE_FOLDER: `${test.dir}/folder`,
        STORAGE_FOLDER_URL: "http://127.0.0.1:7860/archive",
        STORAGE_FOLDER_TOKEN: "secret",
        ...env,
      }, { times: { attempts: 2, backoffMs: 1, idleTimeoutMs: 20_000 } })
        .map((target) => identified(target, { store, now: Date.now })),
    tools: (targets) => ({
      store,
      targets,
      breaker,
      semaphore: createSemaphore(6),
      workDir,
      disk: createDiskBudget(workDir),
      print: (line) => void lines.push(line),
      manifestKeys: [sealingKey],
      ...rewriting,
    }),
    async archive(targets, episode = 1, video) {
      const { path } = await test.file(`${episode}.mp4`, SIZE, episode);
      if (video) await Deno.writeFile(path, video);
      const file = await stageFile(path);
      const { copies } = await replicate(file, { malId: 55825, episode, fileKey: KEY }, { targets });
      await serviceRole`select public.enqueue_video(55825, ${episode}, 'animasu', 'https://video.test/1', '720p')`;
      const [job] = await serviceRole`select * from public.claim_pending_videos(1, 'test')`;
      await serviceRole`select public.update_video_queue_status(${job!.id}, 'uploading', lease_token => ${
        job!.lease_token
      })`;
      const replicas = copies.map((copy) => ({
        target: copy.target,
        account: copy.account,
        repo: copy.repo,
        path: copy.path,
        direct_url: copy.directUrl,
        commit_oid: copy.commitOid,
        sha256: copy.sha256,
        size_bytes: copy.sizeBytes,
        state: "verified",
      }));
      const first = copies[0]!;
      await serviceRole`select public.upsert_video_store(55825, ${episode}, 'animasu', '720p', ${KEY}, ${first.account},
        ${first.repo}, ${first.path}, ${first.directUrl}, lease_token => ${job!.lease_token}, sha256 => ${file.sha256},
        size_bytes => ${file.sizeBytes}, replicas => ${serviceRole.json(replicas)})`;
      return file.sha256;
    },
    async putBeside(target, texts, episode = 1) {
      const file = await stageFile(`${test.dir}/work/${episode}.mp4`);
      const staged = Object.entries(texts).map(async ([ending, text]) => {
        const path = `${test.dir}/beside${ending}`;
        await Deno.writeTextFile(path, text);
        return { ending, file: await stageSmall(path) };
      });
      const location = target.locationOf({ malId: 55825, episode, fileKey: KEY });
      await target.put(file, location, { semaphore: createSemaphore(6), beside: () => Promise.all(staged) });
    },
    async withManifest(texts) {
      const [row] = await database.admin`select id from public.video_store order by episode limit 1`;
      const archive = await store.describeArchive(row!.id);
      const sidecars = Object.entries(texts).map(async ([ending, text]) => {
        const path = `${test.dir}/listed${ending}`;
        await Deno.writeTextFile(path, text);
        return { ending, file: await stageSmall(path) };
      });
      const manifest = manifestOf(archive, await Promise.all(sidecars));
      return { ...texts, ".manifest": await sealManifest(manifest, sealingKey) };
    },
    async states() {
      const rows = await serviceRole`select target, state from public.video_replicas order by target`;
      return Object.fromEntries(rows.map((row) => [row.target, row.state]));
    },
    async events() {
      const rows = await database.admin`select kind from keepstream.events order by id`;
      return rows.map((row) => row.kind);
    },
    async [Symbol.asyncDispose]() {
      await gateway.stop();
      await database[Symbol.asyncDispose]();
      await test[Symbol.asyncDispose]();
    },
  };
}
