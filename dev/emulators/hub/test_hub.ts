// A hub, staged files and targets for one test.
// Example: `await using fixture = await createTestHub({ accounts: ["alice", "bob"] })`.

import { createHash } from "node:crypto";
import { type Hub, type HubOptions, startHub } from "./hub.ts";

/** An ftyp box of 24 bytes, by which the file is recognized as MP4. */
export const MP4_HEAD = new Uint8Array([0, 0, 0, 24, ...new TextEncoder().encode("ftypisom\0\0\0\0isomavc1")]);

export interface TestHub extends AsyncDisposable {
  readonly hub: Hub;
  readonly dir: string;
  /** Variables for all accounts. */
  readonly env: Record<string, string>;
  /** Writes a file of pseudo-random bytes that starts like an MP4 and returns its path and SHA-256. */
  file(name: string, sizeBytes: number, seed?: number): Promise<{ path: string; sha256: string; sizeBytes: number }>;
  /** Bytes that arrived at upload URLs. */
  uploadedBytes(user?: string): number;
  countCalls(at: string, user?: string): number;
}

export async function createTestHub(
  options: { accounts: readonly string[] } & Partial<HubOptions>,
): Promise<TestHub> {
  const { accounts, ...rest } = options;
  const dir = await Deno.makeTempDir({ prefix: "keepstream-hub-" });
  await Deno.mkdir(`${dir}/work`);
  const hub = await startHub({
    dir: `${dir}/hub`,
    users: accounts.map((name) => ({ name, token: `hf_${name}Token` })),
    multipartThresholdBytes: 1 << 18,
    chunkBytes: 1 << 18,
    ...rest,
  });
  const env: Record<string, string> = { HF_ENDPOINT: hub.url, HF_REPO_PREFIX: "archive" };
  accounts.forEach((name, index) => {
    env[`HF_STORAGE_USERNAME_${index + 1}`] = name;
    env[`HF_TOKEN_STORAGE_${index + 1}`] = `hf_${name}Token`;
  });
  env.HF_STORAGE_ACCOUNT_COUNT = String(accounts.length);
  return {
    hub,
    dir,
    env,
    async file(name, sizeBytes, seed = 1) {
      const path = `${dir}/work/${name}`;
      const bytes = pseudoRandomBytes(sizeBytes, seed);
      bytes.set(MP4_HEAD);
      await Deno.writeFile(path, bytes);
      return { path, sizeBytes, sha256: createHash("sha256").update(bytes).digest("hex") };
    },
    uploadedBytes: (user) =>
      hub.calls.filter((call) => call.at.startsWith("upload_") && (!user || call.user === user))
        .reduce((sum, call) => sum + call.bytes, 0),
    countCalls: (at, user) => hub.calls.filter((call) => call.at === at && (!user || call.user === user)).length,
    async [Symbol.asyncDispose]() {
      await hub.stop();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

export function pseudoRandomBytes(sizeBytes: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = seed >>> 0 || 1;
  for (let index = 0; index < words.length; index++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, sizeBytes);
}
