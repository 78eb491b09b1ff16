/** A hub with two users for conformance tests by its real client, @huggingface/hub. Example: `withHub(async (hub) => …)`. */
import * as client from "@huggingface/hub";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Hub, type HubOptions, startHub } from "./hub.ts";

export const ALICE = { name: "alice", token: "hf_alice" };
export const BOB = { name: "bob", token: "hf_bob" };
export const REPO = { type: "dataset", name: "alice/archive-1" } as const;
export const PATH = "1/ep1/abc.mp4";

export async function withHub(test: (hub: Hub, dir: string) => Promise<void>, options: Partial<HubOptions> = {}) {
  const dir = await Deno.makeTempDir({ prefix: "hub-test-" });
  const hub = await startHub({ dir, users: [ALICE, BOB], ...options });
  try {
    await test(hub, dir);
  } finally {
    await hub.stop();
    await Deno.remove(dir, { recursive: true });
  }
}

export function bytes(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size);
  for (let i = 0, value = seed; i < size; i++) out[i] = value = (value * 1103515245 + 12345 + i) & 0xff;
  return out;
}

export const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
export const as = (hub: Hub, user = ALICE) => ({ hubUrl: hub.url, accessToken: user.token });

export async function upload(hub: Hub, data: Uint8Array<ArrayBuffer>, path = PATH) {
  await client.createRepo({ ...as(hub), repo: REPO, visibility: "private" });
  return await client.commit({
    ...as(hub),
    repo: REPO,
    title: "Add",
    operations: [{ operation: "addOrUpdate", path, content: new Blob([data]) }],
  });
}

export async function statusOf(promise: Promise<unknown>): Promise<number> {
  const error = await promise.then(() => null, (reason) => reason);
  assert.ok(error instanceof client.HubApiError, `a HubApiError, not ${error}`);
  return error.statusCode;
}
