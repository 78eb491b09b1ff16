/** Each kind of storage target on an emulated or real store, for what all of them guarantee. Example: `await using harness = await createHarness()`. */
import assert from "node:assert/strict";
import { createTestHub } from "../emulators/hub/test_hub.ts";
import { hasSwift, startS3, startSwift } from "../emulators/s3/s3.ts";
import { createFolderTarget } from "../../runner/targets/folder/folder_target.ts";
import { createHubTarget } from "../../runner/targets/hub/hub_target.ts";
import type { RetryParts } from "../../runner/transfer/retry.ts";
import { sleep } from "../../core/sleep.ts";
import { createS3Target } from "../../runner/targets/s3/s3_target.ts";
import { createSemaphore } from "../../runner/transfer/semaphore.ts";
import { type StagedFile, stageFile, stageSmall } from "../../runner/transfer/staged_file.ts";
import { sidecarLocation } from "../../runner/targets/sidecars.ts";
import type { PutOptions, Sidecar, StorageTarget } from "../../runner/targets/target.ts";

export const ARCHIVE = { malId: 55825, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
export const OTHER = { ...ARCHIVE, episode: 2 };
export const PART = 1 << 18;
export const SIZE = 5 * PART + 7;

export interface Harness extends AsyncDisposable {
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
export const KINDS: Record<string, { createHarness: () => Promise<Harness>; ignore?: boolean }> = {
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

export async function bytesAt(target: StorageTarget): Promise<Uint8Array> {
  return new Uint8Array(await new Response(await target.read(target.locationOf(ARCHIVE))).arrayBuffer());
}

/** These sidecars are stored, and no others. */
export async function assertBeside(target: StorageTarget, sidecars: readonly Sidecar[]) {
  const location = target.locationOf(ARCHIVE);
  assert.deepEqual((await target.sidecarsOf(location)).sort(), sidecars.map(({ ending }) => ending).sort());
  for (const { ending, file } of sidecars) {
    const stored = await new Response(await target.read(sidecarLocation(location, ending))).arrayBuffer();
    assert.deepEqual(new Uint8Array(stored), await Deno.readFile(file.path), ending);
  }
}
