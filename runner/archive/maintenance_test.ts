// Verify, takedown and maintenance with real SQL through the REST gateway, emulated accounts and a folder.
import assert from "node:assert/strict";
import { createStorageFixture, KEY, SIZE } from "../../dev/testing/storage_fixture.ts";
import { createCircuitBreaker, probeTargets } from "./circuit_breaker.ts";
import { startMaintenance } from "./maintenance.ts";
import { repairOnce } from "./repair.ts";
import { runStorageTask } from "./tasks.ts";

const ADDRESSED = { malId: 55825, episode: 1, fileKey: KEY };

Deno.test("takedown: an archive under an earlier prefix → removed by its rows", async () => {
  await using fixture = await createStorageFixture();
  const earlier = fixture.targets(1, { HF_REPO_PREFIX: "before" }).slice(0, 1);
  await fixture.archive(earlier);
  const [alice] = earlier;
  await fixture.putBeside(alice!, { ".poster.jpg": "a picture", ".m3u8": "#EXTM3U" });
  const tools = { ...fixture.tools(fixture.targets(1)), print: () => {} };
  assert.equal(await runStorageTask(["takedown", "55825"], tools), 0);
  assert.equal(await alice!.find(alice!.locationOf(ADDRESSED)), null);
  assert.deepEqual(await alice!.sidecarsOf(alice!.locationOf(ADDRESSED)), []);
});

Deno.test("verify, repair: the last copy is damaged → never removed", async () => {
  await using fixture = await createStorageFixture();
  const folder = fixture.targets(1)[1]!;
  await fixture.archive([folder]);
  const path = `${fixture.test.dir}/folder/archive-55825/${folder.locationOf(ADDRESSED).path}`;
  await Deno.writeFile(path, new Uint8Array(SIZE));
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  const tools = fixture.tools(fixture.targets(1));
  assert.equal(await runStorageTask(["verify"], { ...tools, print }), 1);
  assert.match(lines.at(-1) ?? "", /1 damaged/);
  assert.equal((await Deno.stat(path)).size, SIZE);
  await fixture.store.planRepairs(["hub:alice"]);
  assert.equal((await repairOnce(tools)).failed, 1);
  assert.deepEqual(await fixture.states(), { "folder:folder": "verified", "hub:alice": "failed" });
});

Deno.test("verify, repair: an endless copy → damaged, read to its length only", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  const [alice, bob, folder] = [targets[0]!, targets[1]!, targets[2]!];
  await fixture.archive([alice, folder]);
  let pulled = 0;
  const endless = () => {
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => ++pulled < 10_000 ? controller.enqueue(new Uint8Array(1 << 16)) : controller.close(),
    });
    return Promise.resolve(stream);
  };
  const liar = { ...folder, read: endless, remove: () => Promise.resolve("removed" as const) };
  const tools = { ...fixture.tools([alice, bob, liar]), print: () => {} };
  await fixture.database.admin`update public.video_replicas set verified_at = verified_at - interval '1 day'
    where target = 'folder:folder'`;
  await fixture.store.planRepairs([bob.name]);
  assert.equal((await repairOnce(tools)).verified, 1, "from the other copy");
  await fixture.database.admin`
    update public.video_replicas set state = 'verified', missing_since = null, damaged = false where target = 'folder:folder'`;
  assert.equal(await runStorageTask(["verify"], tools), 1);
  assert.ok(pulled < 300, `${pulled} pieces of 64 KiB read, with three pictures`);
});

Deno.test("verify: copies without a hash → recorded; contradicting → reported", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  const sha256 = await fixture.archive([targets[0]!, targets[2]!]);
  await fixture.database.admin`update public.video_replicas set sha256 = null`;
  await fixture.database.admin`update public.video_store set sha256 = null`;
  const order = ["hub:alice", "folder:folder"]; // by id: the sound one is read first
  for (const [place, target] of order.entries()) {
    await fixture.database.admin`update public.video_replicas
      set id = ${`00000000-0000-4000-8000-00000000000${place}`} where target = ${target}`;
  }
  const path = `${fixture.test.dir}/folder/archive-55825/${targets[2]!.locationOf(ADDRESSED).path}`;
  await Deno.writeFile(path, new Uint8Array(SIZE));
  const lines: string[] = [];
  const tools = { ...fixture.tools(targets), print: (line: string) => void lines.push(line) };
  assert.equal(await runStorageTask(["verify"], tools), 1);
  assert.deepEqual(lines, [
    "hub:alice: ok",
    "hub:bob: new",
    "folder:folder: ok",
    `hub:alice ${targets[0]!.locationOf(ADDRESSED).path}: hashed`,
    `folder:folder ${targets[0]!.locationOf(ADDRESSED).path}: damaged`,
    "0 sound, 0 incomplete, 1 hashed, 0 found, 0 missing, 1 damaged, 0 unreachable, 0 unchecked, 0 unknown-target",
  ]);
  const [store] = await fixture.database.admin`select sha256 from public.video_store`;
  assert.equal(store!.sha256, sha256);
  const rows = await fixture.database.admin`select sha256, state from public.video_replicas order by id`;
  assert.deepEqual(rows.map((row) => [row.sha256, row.state]), [[sha256, "verified"], [null, "verified"]]);
  assert.ok((await fixture.events()).includes("replica_hashed"));
  assert.equal((await Deno.stat(path)).size, SIZE, "still there, for a person to look at");
  await fixture.store.planRepairs(["hub:bob"]);
  assert.equal((await repairOnce(tools)).verified, 1, "with the hash known, copies can be made again");
});

Deno.test("verify: correct, damaged, unreachable copies → reported, repaired", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(3);
  const sha256 = await fixture.archive(targets);
  await fixture.test.hub.dropRepo("datasets/bob/archive-55825");
  fixture.test.hub.user("carol").state = "revoked";
  const folder = targets[3]!.locationOf(ADDRESSED);
  await Deno.writeFile(`${fixture.test.dir}/folder/archive-55825/${folder.path}`, new Uint8Array(SIZE));
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  assert.equal(await runStorageTask(["verify"], { ...fixture.tools(targets), print }), 3);
  assert.equal(
    lines.at(-1),
    "1 sound, 0 incomplete, 0 hashed, 0 found, 0 missing, 1 damaged, 2 unreachable, 0 unchecked, 0 unknown-target",
  );
  assert.deepEqual(await fixture.states(), {
    "folder:folder": "missing",
    "hub:alice": "verified",
    "hub:bob": "verified",
    "hub:carol": "verified",
  });
  await runStorageTask(["verify", "--confirm-missing", "--target", "hub:bob"], { ...fixture.tools(targets), print });
  assert.equal((await fixture.states())["hub:bob"], "pending");
  fixture.test.hub.user("carol").state = "ok";
  assert.equal(await runStorageTask(["repair"], { ...fixture.tools(targets), print }), 0);
  for (const target of targets) {
    assert.equal((await target.find(target.locationOf(ADDRESSED)))?.sha256, sha256, target.name);
  }
  assert.equal(await runStorageTask(["verify"], { ...fixture.tools(targets), print }), 0);
  assert.match(lines.at(-1)!, /^4 sound, 0 incomplete, 0 hashed, 0 found, 0 missing, 0 damaged, 0 unreachable/);
});

Deno.test("takedown: an episode → copies, rows, history gone; the next one stays", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets, 1);
  await fixture.archive(targets, 2);
  const [row] = await fixture.database.admin`select hf_direct_url from public.video_store where episode = 1`;
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  assert.equal(await runStorageTask(["takedown", "55825", "1"], { ...fixture.tools(targets), print }), 0);
  assert.deepEqual(lines, ["1 jobs and their rows removed, 3 files removed"]);
  for (const target of targets) {
    assert.equal(await target.find(target.locationOf(ADDRESSED)), null, target.name);
    assert.equal((await target.find(target.locationOf({ ...ADDRESSED, episode: 2 })))?.sizeBytes, SIZE, target.name);
  }
  if (String(row!.hf_direct_url).startsWith(fixture.test.hub.url)) {
    const owner = String(row!.hf_direct_url).includes("/alice/") ? "alice" : "bob";
    const old = await fetch(row!.hf_direct_url, { headers: { authorization: `Bearer hf_${owner}Token` } });
    await old.body?.cancel();
    assert.equal(old.status, 404, "the recorded location is dead");
  }
  const episodes = await fixture.database.admin`select episode from public.video_queue`;
  assert.deepEqual(episodes.map((entry) => entry.episode), [2]);
  assert.ok((await fixture.events()).includes("taken_down"));
});

Deno.test("takedown: an account is unavailable → reported, finished when repeated", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets);
  fixture.test.hub.user("bob").state = "revoked";
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  assert.equal(await runStorageTask(["takedown", "55825"], { ...fixture.tools(targets), print }), 1);
  assert.match(lines.at(-1) ?? "", /^left on hub:bob: .*401/);
  fixture.test.hub.user("bob").state = "ok";
  assert.equal(await runStorageTask(["takedown", "55825"], { ...fixture.tools(targets), print }), 0);
  assert.equal(fixture.test.hub.usedBytes("bob"), 0);
  assert.equal(await runStorageTask(["takedown", "0"], { ...fixture.tools(targets), print }), 2);
});

Deno.test("lift: dry run → reported; lift → accepted again, audit event stays", async () => {
  await using fixture = await createStorageFixture();
  const lines: string[] = [];
  const tools = { ...fixture.tools([]), print: (line: string) => void lines.push(line) };
  const run = (...args: string[]) => runStorageTask(args, tools);
  const enqueue = () =>
    fixture.database.serviceRole`select public.enqueue_video(55825, 1, 'animasu', 'https://video.test/1', '720p')`;
  assert.equal(await run("takedown", "55825", "1"), 0);
  assert.equal(await run("lift", "55825"), 1, "the title as a whole was not taken down");
  assert.match(lines.at(-1) ?? "", /title 55825 was not taken down/);
  assert.equal(await run("lift", "55825", "1", "--dry-run"), 0);
  assert.equal(lines.at(-1), "would be archived again: title 55825, episode 1");
  await assert.rejects(enqueue(), { code: "PT451" });
  assert.equal(await run("lift", "55825", "1", "--json"), 0);
  assert.deepEqual(JSON.parse(lines.at(-1) ?? ""), { mal_id: 55825, episode: 1, lifted: true, dry_run: false });
  await enqueue();
  assert.equal(await run("lift", "55825", "1", "--json"), 1);
  assert.equal(JSON.parse(lines.at(-1) ?? "").lifted, false);
  assert.deepEqual((await fixture.events()).slice(0, 2), ["taken_down", "takedown_lifted"]);
  assert.equal(await run("lift", "0"), 2);
  assert.equal(await run("takedown", "55825", "--dry-run"), 2, "a takedown has no dry run, and does not run");
  await enqueue();
});

Deno.test("maintenance: copies are missing → planned and made", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2);
  await fixture.archive(targets.slice(0, 1));
  const made = Promise.withResolvers<void>();
  let left = 2;
  const maintenance = startMaintenance({
    ...fixture.tools(targets),
    repairEveryMs: 10,
    onOutcome: () => --left === 0 && made.resolve(),
    onError: (error) => made.reject(error),
  });
  await made.promise;
  await maintenance.stop();
  assert.deepEqual(await fixture.states(), {
    "folder:folder": "verified",
    "hub:alice": "verified",
    "hub:bob": "verified",
  });
});

Deno.test("probeTargets: healthy and failing targets → state and used bytes", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(3);
  await fixture.archive(targets.slice(0, 1));
  fixture.test.hub.user("bob").state = "revoked";
  fixture.test.hub.user("carol").state = "flagged";
  // A directory in the root of a disk that only root can read.
  await Deno.mkdir(`${fixture.test.dir}/folder/lost+found`);
  await Deno.writeTextFile(`${fixture.test.dir}/folder/lost+found/1`, "not an archive");
  const breaker = createCircuitBreaker({ now: Date.now });
  await probeTargets(targets, { breaker });
  const found = Object.fromEntries(breaker.all().map(({ target, state, usedBytes }) => [target, [state, usedBytes]]));
  assert.deepEqual(found, {
    "hub:alice": ["ok", SIZE],
    "hub:bob": ["auth", null],
    "hub:carol": ["abuse", null],
    "folder:folder": ["ok", 0],
  });
});
