// Repair with real SQL through the REST gateway, emulated accounts and a folder.
import assert from "node:assert/strict";
import { createStorageFixture, KEY, SIZE } from "../../dev/testing/storage_fixture.ts";
import { createDiskBudget } from "../work_dir/disk_budget.ts";
import { openRepairDir } from "../work_dir/work_dir.ts";
import { sidecarLocation } from "../targets/sidecars.ts";
import type { StorageTarget } from "../targets/target.ts";
import { createCircuitBreaker } from "./circuit_breaker.ts";
import { repairOnce } from "./repair.ts";
import { createSemaphore } from "../transfer/semaphore.ts";
import { stageFile } from "../transfer/staged_file.ts";
import { runStorageTask } from "./tasks.ts";

const ADDRESSED = { malId: 55825, episode: 1, fileKey: KEY };

Deno.test("repair: an account was added → a copy of every archive there", async () => {
  await using fixture = await createStorageFixture();
  const sha256 = await fixture.archive(fixture.targets(1).slice(0, 1));
  const targets = fixture.targets(3);
  assert.equal(await fixture.store.planRepairs(targets.map((target) => target.name)), 3);
  const done = await repairOnce(fixture.tools(targets));
  assert.deepEqual(done, { claimed: 3, verified: 3, failed: 0 });
  for (const target of targets) {
    assert.equal((await target.find(target.locationOf(ADDRESSED)))?.sha256, sha256, target.name);
  }
  assert.deepEqual(await fixture.states(), {
    "folder:folder": "verified",
    "hub:alice": "verified",
    "hub:bob": "verified",
    "hub:carol": "verified",
  });
  assert.equal(fixture.test.countCalls("cdn"), 1, "read once for all three");
});

const TEXTS = { ".m3u8": "#EXTM3U", ".s0.vtt": "WEBVTT", ".poster.jpg": "a poster" };

async function besideCopyOn(target: StorageTarget): Promise<Record<string, string>> {
  const location = target.locationOf(ADDRESSED);
  const stored: Record<string, string> = {};
  for (const ending of await target.sidecarsOf(location)) {
    stored[ending] = await new Response(await target.read(sidecarLocation(location, ending))).text();
  }
  return stored;
}

Deno.test("repair: an account was added → sidecars in the same commit; taken down", async () => {
  await using fixture = await createStorageFixture();
  const all = fixture.targets(2);
  const [alice, bob, folder] = [all[0]!, all[1]!, all[2]!];
  await fixture.archive([alice]);
  const beside = await fixture.withManifest(TEXTS);
  await fixture.putBeside(alice, beside);
  await fixture.store.planRepairs([bob.name, folder.name]);
  assert.equal((await repairOnce(fixture.tools(all))).verified, 2);
  for (const target of all) assert.deepEqual(await besideCopyOn(target), beside, target.name);
  assert.equal(fixture.test.countCalls("commit", "bob"), 1);
  const left = [...Deno.readDirSync(`${fixture.test.dir}/work`)].map((entry) => entry.name).sort();
  assert.deepEqual(left, ["1.mp4"], "nothing is left of the copying");
  const lines: string[] = [];
  const tools = { ...fixture.tools(all), print: (line: string) => void lines.push(line) };
  assert.equal(await runStorageTask(["takedown", "55825", "1"], tools), 0);
  assert.deepEqual(lines, ["1 jobs and their rows removed, 15 files removed"]);
  for (const target of all) assert.deepEqual(await besideCopyOn(target), {}, target.name);
  assert.equal(fixture.test.hub.usedBytes("alice"), 0);
});

Deno.test("repair: the copy exists without sidecars → only they are added", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets.slice(0, 2));
  const beside = await fixture.withManifest(TEXTS);
  await fixture.putBeside(targets[0]!, beside);
  const [before] = await fixture.database.admin`update public.video_replicas
    set state = 'missing', missing_since = now() where target = 'hub:bob' returning commit_oid`;
  assert.deepEqual(await repairOnce(fixture.tools(targets)), { claimed: 1, verified: 1, failed: 0 });
  assert.deepEqual(await besideCopyOn(targets[1]!), beside);
  assert.ok(fixture.test.uploadedBytes("bob") < SIZE + 1000, "the video was not sent again");
  const [after] = await fixture.database.admin`select commit_oid, direct_url from public.video_replicas
    where target = 'hub:bob'`;
  assert.notEqual(after!.commit_oid, before!.commit_oid);
  const master = await fetch(after!.direct_url.replace(".mp4", ".m3u8"), {
    headers: { authorization: "Bearer hf_bobToken" },
  });
  assert.equal(await master.text(), "#EXTM3U", "the recorded commit has them");
});

Deno.test("repair: damaged, no other copy of its sidecars → they are kept", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets.slice(0, 2));
  const beside = await fixture.withManifest(TEXTS);
  await fixture.putBeside(targets[1]!, beside);
  await fixture.database.admin`update public.video_replicas
    set state = 'missing', missing_since = now(), damaged = true where target = 'hub:bob'`;
  assert.equal((await repairOnce(fixture.tools(targets))).verified, 1);
  assert.deepEqual(await besideCopyOn(targets[1]!), beside);
});

Deno.test("repair: the copy exists after all → recorded, nothing read or sent", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets.slice(0, 1));
  const path = `${fixture.test.dir}/work/1.mp4`;
  await targets[1]!.put(await stageFile(path), targets[1]!.locationOf(ADDRESSED), { semaphore: createSemaphore(6) });
  await fixture.store.planRepairs(["hub:bob"]);
  const sent = fixture.test.uploadedBytes();
  assert.deepEqual(await repairOnce(fixture.tools(targets)), { claimed: 1, verified: 1, failed: 0 });
  assert.equal(fixture.test.uploadedBytes(), sent);
  assert.equal(fixture.test.countCalls("cdn"), 0);
});

Deno.test("repair: one account is disabled → others repaired, its copy postponed", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(3);
  await fixture.archive(targets.slice(0, 1));
  fixture.test.hub.user("bob").state = "revoked";
  await fixture.store.planRepairs(["hub:bob", "hub:carol"]);
  assert.deepEqual(await repairOnce(fixture.tools(targets)), { claimed: 2, verified: 1, failed: 0 });
  assert.deepEqual(await fixture.states(), { "hub:alice": "verified", "hub:bob": "pending", "hub:carol": "verified" });
  const [copy] = await fixture.database.admin`select attempts, error_message from public.video_replicas
    where target = 'hub:bob'`;
  assert.equal(copy!.attempts, 0, "a person has to look first");
  assert.match(copy!.error_message, /^hub:bob: .*401/);
  fixture.test.hub.user("bob").state = "ok";
  await fixture.database.admin`update public.video_replicas set run_at = now()`;
  assert.deepEqual(
    await repairOnce(fixture.tools(targets)),
    { claimed: 1, verified: 0, failed: 0 },
    "its breaker is open",
  );
  const breaker = createCircuitBreaker({ now: Date.now });
  await fixture.database.admin`update public.video_replicas set run_at = now()`;
  assert.deepEqual(await repairOnce({ ...fixture.tools(targets), breaker }), { claimed: 1, verified: 1, failed: 0 });
});

Deno.test("repair: the source has other bytes → reported, another one is used", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  const folder = targets[2]!;
  const sha256 = await fixture.archive([targets[0]!, folder]);
  await fixture.database
    .admin`update public.video_replicas set verified_at = verified_at - interval '1 day' where target = 'folder:folder'`;
  const location = folder.locationOf(ADDRESSED);
  await Deno.writeFile(`${fixture.test.dir}/folder/archive-55825/${location.path}`, new Uint8Array(SIZE));
  await fixture.store.planRepairs(["hub:bob"]);
  const done = await repairOnce(fixture.tools(targets));
  assert.equal(done.verified, 1);
  assert.equal((await targets[1]!.find(targets[1]!.locationOf(ADDRESSED)))?.sha256, sha256);
  assert.equal((await fixture.states())["folder:folder"], "missing");
});

Deno.test("repair: the only source is invisible → nothing stored, archive kept", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets.slice(0, 1));
  await fixture.store.planRepairs(["hub:bob"]);
  await fixture.test.hub.dropRepo("datasets/alice/archive-55825");
  const done = await repairOnce(fixture.tools(targets));
  assert.equal(done.verified, 0);
  assert.equal(fixture.test.uploadedBytes("bob"), 0);
  const [job] = await fixture.database.admin`select status from public.video_queue`;
  assert.equal(job!.status, "ready");
  assert.equal((await fixture.states())["hub:alice"], "verified");
});

Deno.test("repair: no space for the archive → not started, disk_full", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets.slice(0, 1));
  await fixture.store.planRepairs(["hub:bob"]);
  const tools = fixture.tools(targets);
  const freeBytes = () => Promise.resolve(256 * 1024 * 1024 + SIZE - 1); // the reserve for others, minus one byte
  const disk = createDiskBudget(tools.workDir, { freeBytes });
  assert.equal((await repairOnce({ ...tools, disk })).failed, 1);
  assert.equal(fixture.test.countCalls("cdn"), 0, "nothing was read");
  const [copy] = await fixture.database.admin`select error_class from public.video_replicas where target = 'hub:bob'`;
  assert.equal(copy!.error_class, "disk_full");
});

Deno.test("repair: another process repairs the archive → released, untouched", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets.slice(0, 1));
  await fixture.store.planRepairs(["hub:bob"]);
  const tools = fixture.tools(targets);
  const [row] = await fixture.database.admin`select id from public.video_store`;
  {
    await using held = await openRepairDir(tools.workDir, row!.id);
    await Deno.writeTextFile(`${held.path}/copy.mp4`, "the other's");
    assert.equal((await repairOnce(tools)).verified, 0);
    assert.equal(await Deno.readTextFile(`${held.path}/copy.mp4`), "the other's");
  }
  const [copy] = await fixture.database.admin`select attempts from public.video_replicas where target = 'hub:bob'`;
  assert.equal(copy!.attempts, 0, "it was no attempt");
  await fixture.database.admin`update public.video_replicas set run_at = now()`;
  assert.equal((await repairOnce(tools)).verified, 1);
  assert.deepEqual([...Deno.readDirSync(tools.workDir)].map(({ name }) => name), ["1.mp4"], "nothing is left of it");
});

Deno.test("repair: the title is taken down meanwhile → no copy is left", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets.slice(0, 1));
  await fixture.store.planRepairs(["hub:bob"]);
  const tools = fixture.tools(targets);
  // The takedown happens between the upload and the commit.
  const lockRepo = async () => {
    await fixture.store.takeDown({ malId: 55825 });
    return { [Symbol.asyncDispose]: () => Promise.resolve() };
  };
  await repairOnce({ ...tools, lockRepo });
  assert.equal(fixture.test.countCalls("commit", "bob"), 0);
  assert.equal(await targets[1]!.find(targets[1]!.locationOf(ADDRESSED)), null);
});
