// A Hub target on an emulated account, with a staged file. Example: `await using harness = await createHarness()`.
import assert from "node:assert/strict";
import { createTestHub, type TestHub } from "../emulators/hub/test_hub.ts";
import { createHubTarget } from "../../runner/targets/hub/hub_target.ts";
import type { RetryTimes } from "../../runner/transfer/retry.ts";
import { createSemaphore } from "../../runner/transfer/semaphore.ts";
import { type StagedFile, stageFile } from "../../runner/transfer/staged_file.ts";
import { StorageError } from "../../runner/transfer/storage_error.ts";
import type { PutOptions, StorageTarget } from "../../runner/targets/target.ts";

export const ARCHIVE = { malId: 55825, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };

export const PART = 1 << 18;

/** Five parts, the last one shorter. */
export const SIZE = 4 * PART + 1000;

export interface Harness extends AsyncDisposable {
  readonly test: TestHub;
  readonly target: StorageTarget;
  readonly targetAt: (endpoint: string) => StorageTarget;
  readonly file: StagedFile;
  /** Requested delays, in ms; nothing sleeps. */
  readonly waits: number[];
  put(options?: Partial<PutOptions>): ReturnType<StorageTarget["put"]>;
}

export async function createHarness(
  times: Partial<RetryTimes> = {},
  options: { chunkBytes?: number; size?: number } = {},
) {
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
export async function assertStored({ test, target, file }: Harness, commits = 1) {
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

export async function storageErrorFrom(run: Promise<unknown>): Promise<StorageError> {
  const error = await run.then(() => null, (reason) => reason);
  assert.ok(error instanceof StorageError, `a StorageError, not ${error}`);
  return error;
}
