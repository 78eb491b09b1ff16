// Upgrades with real SQL through the REST gateway, emulated accounts and a folder.
import assert from "node:assert/strict";
import { openManifest } from "../../core/manifest/manifest.ts";
import { VERSION } from "../../core/version.ts";
import { readClip } from "../../dev/emulators/origin/clip.ts";
import { createStorageFixture, KEY, SIZE, type StorageFixture } from "../../dev/testing/storage_fixture.ts";
import { assertConsistent, storeRow } from "../../dev/testing/stored_archive.ts";
import { sidecarLocation } from "../targets/sidecars.ts";
import { probeFile, rewriteBy } from "./rewrite_file.ts";
import { runStorageTask } from "./tasks.ts";
import { removeObsolete } from "./obsolete.ts";
import { repairOnce } from "./repair.ts";
import type { IdentifiedTarget } from "./identity.ts";
import { upgradeArchives, type UpgradeBudget, type UpgradeOutcome, type UpgradeTools } from "./upgrade.ts";

const OLD = { malId: 55825, episode: 1, fileKey: KEY };

async function upgrade(
  fixture: StorageFixture,
  targets: readonly IdentifiedTarget[],
  { budget = {}, ...more }: Partial<UpgradeTools> & { budget?: UpgradeBudget } = {},
) {
  const outcomes: UpgradeOutcome[] = [];
  const onUpgrade = (_: unknown, outcome: UpgradeOutcome) => void outcomes.push(outcome);
  const counts = await upgradeArchives(budget, { ...fixture.tools(targets), onUpgrade, ...more });
  return { counts, outcomes };
}

async function keyOf(fixture: StorageFixture): Promise<string> {
  return (await storeRow(fixture)).file_key;
}

Deno.test("upgrade: a plain archive on three targets → hybrid on all, old kept a day", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets);
  const before = await storeRow(fixture);
  const { counts } = await upgrade(fixture, targets);
  assert.deepEqual([counts.hybrid, counts.bytes], [1, SIZE]);
  const after = await storeRow(fixture);
  assert.match(after.file_key, /^[0-9a-f]{32}$/);
  assert.notEqual(after.file_key, KEY);
  assert.deepEqual(
    [after.size_bytes, after.duration_seconds, after.width, after.media.presentation.form, after.upgrade_checked],
    [SIZE + 1, 12, 1280, "hybrid", null],
  );
  assert.equal(after.hf_repo, before.hf_repo, "the primary stays on its target");
  await assertConsistent(fixture, targets);
  for (const target of targets) {
    const location = target.locationOf({ ...OLD, fileKey: after.file_key });
    assert.deepEqual((await target.sidecarsOf(location)).sort(), [".m3u8", ".manifest", ".v.m3u8"]);
    const text = await new Response(await target.read(sidecarLocation(location, ".manifest"))).text();
    const manifest = await openManifest(text, { keys: fixture.tools(targets).manifestKeys, fileKey: after.file_key });
    assert.deepEqual([manifest.file.sha256, manifest.rights], [after.sha256, "own work"]);
    assert.equal((await target.find(target.locationOf(OLD)))?.sha256, before.sha256, "links lead there");
  }
  const tools = { store: fixture.store, targets, onError: (error: unknown) => assert.fail(String(error)) };
  assert.equal(await removeObsolete(tools), 0, "not due");
  await fixture.database.admin`update keepstream.obsolete_copies set run_at = run_at - interval '25 hours'`;
  assert.equal(await removeObsolete(tools), 3);
  for (const target of targets) assert.equal(await target.find(target.locationOf(OLD)), null);
  await assertConsistent(fixture, targets);
  assert.equal((await fixture.events()).at(-1), "upgraded");
  assert.deepEqual((await upgrade(fixture, targets)).outcomes, [], "nothing is left to do");
});

Deno.test("upgrade: one target refuses → the old archive stays; later → continued", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets);
  const before = await storeRow(fixture);
  fixture.test.hub.user("bob").quotaBytes = 0;
  const { outcomes } = await upgrade(fixture, targets);
  assert.equal(outcomes[0]?.state, "failed");
  assert.deepEqual(await storeRow(fixture), before);
  await assertConsistent(fixture, targets);
  fixture.test.hub.user("bob").quotaBytes = 1e9;
  const sent = fixture.test.uploadedBytes("alice");
  assert.equal((await upgrade(fixture, targets)).counts.hybrid, 1);
  assert.equal(fixture.test.uploadedBytes("alice"), sent, "nothing is sent twice");
  await assertConsistent(fixture, targets);
});

Deno.test("upgrade: a copy is missing → made from the new ones afterwards", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets);
  await fixture.database.admin`update public.video_replicas set state = 'missing', missing_since = now()
    where target = 'hub:bob'`;
  assert.equal((await upgrade(fixture, targets)).counts.hybrid, 1);
  assert.deepEqual(await fixture.states(), {
    "folder:folder": "verified",
    "hub:alice": "verified",
    "hub:bob": "pending",
  });
  assert.equal((await repairOnce(fixture.tools(targets))).verified, 1);
  await assertConsistent(fixture, targets);
  const bob = targets[1]!;
  const location = bob.locationOf({ ...OLD, fileKey: await keyOf(fixture) });
  assert.deepEqual((await bob.sidecarsOf(location)).sort(), [".m3u8", ".manifest", ".v.m3u8"]);
});

Deno.test("upgrade: it has to stay plain → recorded with the reason, tried once", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1);
  await fixture.archive(targets);
  const before = await storeRow(fixture);
  const rewrite = () => Promise.resolve({ kind: "needs_remux" as const, reason: "several edits" });
  const { outcomes } = await upgrade(fixture, targets, { rewrite });
  assert.deepEqual(outcomes, [{ state: "plain", reason: "several edits" }]);
  const after = await storeRow(fixture);
  assert.deepEqual([after.file_key, after.sha256, after.upgrade_checked], [KEY, before.sha256, VERSION]);
  assert.deepEqual([after.media.presentation.form, after.media.presentation.plain_because], ["plain", "several edits"]);
  for (const target of targets) assert.deepEqual(await target.sidecarsOf(target.locationOf(OLD)), [".manifest"]);
  await assertConsistent(fixture, targets);
  assert.deepEqual((await upgrade(fixture, targets, { rewrite })).outcomes, []);
  assert.equal((await fixture.database.admin`select count(*)::int as n from keepstream.obsolete_copies`)[0]!.n, 0);
});

Deno.test("upgrade: taken down while the new copies are stored → no copy is left", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1);
  await fixture.archive(targets);
  const lockRepo = async () => {
    await fixture.store.takeDown({ malId: 55825 });
    for (const target of targets) await target.removeTitle({ malId: 55825 });
    return { [Symbol.asyncDispose]: () => Promise.resolve() };
  };
  const { outcomes } = await upgrade(fixture, targets, { lockRepo });
  assert.equal(outcomes[0]?.state, "failed");
  assert.equal(fixture.test.hub.usedBytes("alice"), 0);
});

Deno.test("upgrade: archived again meanwhile → refused; its copies go a day later", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1);
  await fixture.archive(targets);
  const tools = fixture.tools(targets);
  const probe: UpgradeTools["probe"] = async (path, signal) => {
    await fixture.database.admin`update public.video_store set sha256 = ${"cd".repeat(32)}`;
    return await tools.probe(path, signal);
  };
  const { outcomes } = await upgrade(fixture, targets, { probe });
  assert.equal(outcomes[0]?.state, "waiting");
  const left = fixture.test.hub.usedBytes("alice");
  assert.equal(left, SIZE, "nothing was uploaded");
});

Deno.test("upgrade: the switch is refused → new copies are deleted a day later", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1);
  await fixture.archive(targets);
  const before = await storeRow(fixture);
  const store = {
    ...fixture.store,
    async finishUpgrade(args: Parameters<typeof fixture.store.finishUpgrade>[0]) {
      await fixture.database.admin`insert into keepstream.video_leases (queue_id, lease_expires_at)
        select queue_id, now() from public.video_store`.catch(() => {});
      await fixture.database
        .admin`update public.video_replicas set state = 'uploading', lease_token = gen_random_uuid(),
        lease_owner = 'other', lease_expires_at = now() + interval '1 minute' where target = 'folder:folder'`;
      await fixture.store.finishUpgrade(args);
    },
  };
  assert.equal((await upgrade(fixture, targets, { store })).outcomes[0]?.state, "waiting");
  assert.deepEqual(await storeRow(fixture), before);
  await fixture.database
    .admin`update public.video_replicas set state = 'verified', lease_token = null, lease_owner = null,
    lease_expires_at = null where target = 'folder:folder'`;
  await assertConsistent(fixture, targets);
  await fixture.database.admin`update keepstream.obsolete_copies set run_at = now()`;
  await fixture.database.admin`delete from keepstream.video_leases`;
  const removed = await removeObsolete({ store, targets, onError: (error) => assert.fail(String(error)) });
  assert.equal(removed, 2);
  assert.equal(fixture.test.hub.usedBytes("alice"), SIZE);
  await assertConsistent(fixture, targets);
});

Deno.test("upgrade: budget, dry run, target → only what fits, nothing changed", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  for (const episode of [1, 2, 3]) await fixture.archive(targets.slice(0, episode === 3 ? 1 : 2), episode);
  const dry = async (budget: UpgradeBudget) =>
    (await upgrade(fixture, targets, { budget: { ...budget, dryRun: true } })).counts.due;
  assert.equal(await dry({}), 3);
  assert.equal(await dry({ limit: 2 }), 2);
  assert.equal(await dry({ maxBytes: 2 * SIZE }), 2);
  assert.equal(await dry({ maxBytes: SIZE - 1 }), 0);
  assert.equal(await dry({ target: "hub:bob" }), 2);
  assert.equal(fixture.test.countCalls("cdn"), 0);
  assert.equal((await upgrade(fixture, targets, { budget: { limit: 1 } })).counts.hybrid, 1);
  assert.equal(await dry({}), 2);
});

Deno.test("upgrade: an archive that cannot be upgraded now → waiting, with the reason", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets);
  const reasonOf = async (targets: readonly IdentifiedTarget[]) => {
    const [outcome] = (await upgrade(fixture, targets)).outcomes;
    assert.equal(outcome?.state, "waiting");
    return (outcome as { reason: string }).reason;
  };
  assert.match(await reasonOf(targets.slice(0, 1)), /^(hub:bob|folder:folder) has a copy and is not configured here$/);
  const lock = await fixture.store.lockResource(`upgrade:${(await storeRow(fixture)).id}`, 60);
  assert.ok(lock);
  assert.match(await reasonOf(targets), /another process/);
  assert.equal(fixture.test.countCalls("cdn"), 0);
});

Deno.test("upgrade: a real clip → the same video, playlists of its file, pictures", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1).slice(1);
  const clip = (await readClip()).mp4;
  await fixture.archive(targets, 1, clip);
  const real = { rewrite: rewriteBy({ form: "auto", segmentSeconds: 2 }), probe: probeFile, pictures: true };
  assert.deepEqual((await upgrade(fixture, targets, real)).outcomes.map(({ state }) => state), ["hybrid"]);
  await assertConsistent(fixture, targets);
  const row = await storeRow(fixture);
  const playlists = row.media.presentation.tracks.map((track: { playlist: string }) => track.playlist);
  assert.deepEqual([row.width, row.height, playlists], [640, 360, ["v", "a0"]]);
  const folder = `${fixture.test.dir}/folder/archive-55825/55825/ep1`;
  const endings = (await targets[0]!.sidecarsOf({ repo: row.hf_repo, path: row.hf_path })).sort();
  const made = [".m3u8", ".v.m3u8", ".a0.m3u8", ".manifest", ".poster.jpg", ".sprite.jpg", ".sprite.vtt"];
  assert.deepEqual(made.filter((ending) => !endings.includes(ending)), []);
  assert.match(await Deno.readTextFile(`${folder}/${row.file_key}.sprite.vtt`), new RegExp(`^${row.file_key}`, "m"));
  const decoded = async (path: string) => {
    const args = ["-v", "error", "-i", path, "-map", "0:v", "-f", "hash", "-hash", "sha256", "-"];
    const { code, stdout } = await new Deno.Command("ffmpeg", { args }).output();
    assert.equal(code, 0);
    return new TextDecoder().decode(stdout);
  };
  const old = await decoded(`${folder}/${KEY}.mp4`);
  assert.equal(await decoded(`${folder}/${row.file_key}.mp4`), old);
  assert.equal(await decoded(`${folder}/${row.file_key}.v.m3u8`), old, "the HLS names the new file");
});

Deno.test("storage upgrade: flags → what they say; a wrong one → usage error", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1);
  await fixture.archive(targets);
  const run = async (...args: string[]) => {
    const code = await runStorageTask(["upgrade", ...args], fixture.tools(targets));
    return [code, fixture.lines.at(-1)];
  };
  assert.deepEqual(await run("--dry-run"), [0, "1 archives would be rewritten, 0.00 GB to read"]);
  for (
    const wrong of [
      ["--limit", "0"],
      ["--limit", "x"],
      ["--max-bytes", "-1"],
      ["--keep-hours", "1e9"],
      ["--target", "hub:unknown"],
      ["--share", "1"],
      ["now"],
    ]
  ) {
    assert.equal((await run(...wrong))[0], 2, wrong.join(" "));
  }
  const plain = { ...fixture.tools(targets), mayRewrite: false };
  assert.equal(await runStorageTask(["upgrade"], plain), 2);
  assert.equal((await storeRow(fixture)).file_key, KEY, "nothing was done");
  const [code, json] = await run("--json", "--max-bytes", "1e9", "--limit", "5", "--keep-hours", "0");
  assert.equal(code, 0);
  const { hybrid, archives, exit_code } = JSON.parse(json as string);
  assert.deepEqual([hybrid, exit_code, archives[0].state, archives[0].mal_id], [1, 0, "hybrid", 55825]);
  const removed = await removeObsolete({
    store: fixture.store,
    targets,
    onError: (error) => assert.fail(String(error)),
  });
  assert.equal(removed, 2, "without a delay");
});
