// Sidecars of a copy on the Hub: one commit, few calls, and what is left in the repository's history.
import assert from "node:assert/strict";
import { ARCHIVE, assertStored, createHarness, type Harness } from "../../../dev/testing/hub_target_fixture.ts";
import type { Sidecar } from "../target.ts";
import { sidecarLocation } from "../sidecars.ts";
import { stageSmall } from "../../transfer/staged_file.ts";

/** Two audio tracks and two subtitles. */
const ENDINGS = [
  ...[".m3u8", ".v.m3u8", ".a0.m3u8", ".a1.m3u8", ".s0.m3u8", ".s1.m3u8", ".i.m3u8", ".s0.vtt", ".s1.vtt"],
  ...[".poster.jpg", ".sprite.jpg", ".sprite.vtt", ".manifest"],
];

async function sidecarsIn({ test }: Harness): Promise<Sidecar[]> {
  return await Promise.all(ENDINGS.map(async (ending) => {
    const path = `${test.dir}/beside${ending}`;
    await Deno.writeTextFile(path, `the contents of ${ending}`);
    return { ending, file: await stageSmall(path) };
  }));
}

/** Calls of the Hub itself: uploads go to storage URLs. */
function hubCalls({ test }: Harness): string[] {
  return test.hub.calls.map(({ at }) => at).filter((at) => !at.startsWith("upload_"));
}

Deno.test("hub put: a new repository, 13 sidecars → one commit, eight calls", async () => {
  await using harness = await createHarness();
  const sidecars = await sidecarsIn(harness);
  const copy = await harness.put({ beside: () => Promise.resolve(sidecars) });
  assert.deepEqual(hubCalls(harness), [
    "paths_info",
    "create_repo",
    "lfs_batch",
    "complete",
    "verify",
    "lfs_batch",
    "commit",
    "paths_info",
  ]);
  await assertStored(harness);
  for (const { ending, file } of sidecars) {
    const response = await fetch(copy.directUrl.replace(".mp4", ending), {
      headers: { authorization: "Bearer hf_aliceToken" },
    });
    assert.equal(await response.text(), await Deno.readTextFile(file.path), `${ending} in the commit of the copy`);
  }
});

Deno.test("hub put: everything is stored → two calls; some lacking → one commit", async () => {
  await using harness = await createHarness();
  const sidecars = await sidecarsIn(harness);
  const first = await harness.put({ beside: () => Promise.resolve(sidecars.slice(0, 4)) });
  const before = hubCalls(harness).length;
  const second = await harness.put({ beside: () => Promise.resolve(sidecars) });
  assert.deepEqual(hubCalls(harness).slice(before), ["paths_info", "paths_info", "lfs_batch", "commit", "paths_info"]);
  assert.notEqual(second.commitOid, first.commitOid);
  const again = await harness.put({ beside: () => Promise.resolve(sidecars) });
  assert.deepEqual(hubCalls(harness).slice(before + 5), ["paths_info", "paths_info"]);
  assert.equal(again.commitOid, second.commitOid, "the commit that has all of them");
});

for (
  const failure of ["commit_landed_504", "commit_landed_reset", "commit_locked", "basic_500", "batch_500"] as const
) {
  Deno.test(`hub put, beside: ${failure} → one commit with everything`, async () => {
    await using harness = await createHarness();
    const sidecars = await sidecarsIn(harness);
    harness.test.hub.fail(failure);
    const copy = await harness.put({ beside: () => Promise.resolve(sidecars) });
    await assertStored(harness);
    assert.deepEqual((await harness.target.sidecarsOf(copy)).sort(), ENDINGS.toSorted());
    const stat = await harness.target.find(sidecarLocation(copy, ".m3u8"));
    assert.equal(stat?.commitOid, copy.commitOid);
  });
}

Deno.test("hub remove: pictures and subtitles are gone from old commits, too", async () => {
  await using harness = await createHarness();
  const sidecars = await sidecarsIn(harness);
  const copy = await harness.put({ beside: () => Promise.resolve(sidecars) });
  await harness.target.remove(harness.target.locationOf(ARCHIVE));
  assert.equal(harness.test.hub.usedBytes("alice"), 0);
  const left: string[] = [];
  for (const ending of [".mp4", ...ENDINGS]) {
    const response = await fetch(copy.directUrl.replace(".mp4", ending), {
      headers: { authorization: "Bearer hf_aliceToken" },
    });
    await response.body?.cancel();
    if (response.ok) left.push(ending);
  }
  assert.deepEqual(left, ENDINGS.filter((ending) => /m3u8|manifest|sprite\.vtt/.test(ending)), "descriptions only");
});
