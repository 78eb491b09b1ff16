/** What the database states about an archive of a storage fixture, compared with what its targets have. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { IdentifiedTarget } from "../../runner/archive/identity.ts";
import type { StorageFixture } from "./storage_fixture.ts";

// deno-lint-ignore no-explicit-any -- columns of a row
export async function storeRow({ database }: Pick<StorageFixture, "database">, episode = 1): Promise<any> {
  const [row] = await database.admin`select * from public.video_store where episode = ${episode}`;
  return { ...row, size_bytes: Number(row!.size_bytes) };
}

/** Every verified copy can be read at its recorded location and has the archive's bytes: readers may change between copies. */
export async function assertConsistent(
  fixture: Pick<StorageFixture, "database">,
  targets: readonly IdentifiedTarget[],
  episode = 1,
): Promise<void> {
  const { id, sha256, hf_repo, hf_path } = await storeRow(fixture, episode);
  const copies = await fixture.database.admin`select target, repo, path, sha256 from public.video_replicas
    where state = 'verified' and store_id = ${id}`;
  assert.ok(copies.length > 0);
  assert.ok(copies.some(({ repo, path }) => repo === hf_repo && path === hf_path), "the primary is one of them");
  for (const { target: name, repo, path, sha256: recorded } of copies) {
    const target = targets.find((candidate) => candidate.name === name)!;
    const bytes = new Uint8Array(await new Response(await target.read({ repo, path })).arrayBuffer());
    assert.deepEqual([recorded, createHash("sha256").update(bytes).digest("hex")], [sha256, sha256], `${name} ${path}`);
  }
}
