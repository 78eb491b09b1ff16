// Invisible copies are not missing, and missing ones are kept until that is confirmed.

import assert from "node:assert/strict";
import { ADDRESSED, createFolderFixture, rowsOf } from "../../dev/testing/folder_fixture.ts";
import { FAILURES } from "../../dev/emulators/hub/failures.ts";
import { createStorageFixture, KEY, SIZE, type StorageFixture } from "../../dev/testing/storage_fixture.ts";
import { createCircuitBreaker } from "./circuit_breaker.ts";
import type { IdentifiedTarget } from "./identity.ts";
import { repairOnce } from "./repair.ts";
import { runStorageTask } from "./tasks.ts";

/** One copy is 4 % of all. */
const ENOUGH = 25;

Deno.test("verify: one copy of many is missing → kept as missing, exit 1", async () => {
  await using test = await createFolderFixture(ENOUGH);
  await test.remove(7);
  assert.equal(await test.run("verify"), 1);
  assert.deepEqual(await rowsOf(test.fixture), { archives: ENOUGH, ready: ENOUGH, verified: ENOUGH - 1, missing: 1 });
  assert.equal(await test.run("verify"), 1, "the same day again counts once");
  const [copy] = await test.fixture.database
    .admin`select missing_days from public.video_replicas where state = 'missing'`;
  assert.equal(copy!.missing_days, 1);
});

Deno.test("verify: missing on three days → confirmed, the video queued again", async () => {
  await using test = await createFolderFixture(ENOUGH);
  await test.remove(7);
  const { admin } = test.fixture.database;
  for (const day of [1, 2]) {
    assert.equal(await test.run("verify"), 1);
    assert.equal((await rowsOf(test.fixture)).archives, ENOUGH, `day ${day}`);
    await admin`update public.video_replicas set missing_on = missing_on - 1 where state = 'missing'`;
  }
  assert.equal(await test.run("verify"), 1);
  assert.deepEqual(await rowsOf(test.fixture), {
    archives: ENOUGH - 1,
    ready: ENOUGH - 1,
    verified: ENOUGH - 1,
    missing: 0,
  });
  const [job] = await admin`select status from public.video_queue where episode = 7`;
  assert.equal(job!.status, "pending");
  assert.ok((await test.fixture.events()).includes("replica_lost"));
});

Deno.test("verify: the clock is set back → the day does not count", async () => {
  await using test = await createFolderFixture(ENOUGH);
  await test.remove(7);
  const { admin } = test.fixture.database;
  for (const _ of [1, 2, 3]) {
    assert.equal(await test.run("verify"), 1);
    await admin`update public.video_replicas set missing_on = missing_on + 1 where state = 'missing'`;
  }
  const [copy] = await admin`select missing_days from public.video_replicas where state = 'missing'`;
  assert.equal(copy?.missing_days, 1);
});

Deno.test("verify: a missing copy without a hash is back → found, served again", async () => {
  await using test = await createFolderFixture(ENOUGH);
  const { admin } = test.fixture.database;
  const { path } = test.folder.locationOf(ADDRESSED);
  await admin`update public.video_replicas set sha256 = null where path = ${path}`;
  await admin`update public.video_store set sha256 = null where hf_path = ${path}`;
  const file = `${test.root}/archive-55825/${path}`;
  await Deno.rename(file, `${file}.away`);
  assert.equal(await test.run("verify"), 1);
  await Deno.rename(`${file}.away`, file);
  assert.equal(await test.run("verify"), 0);
  assert.match(test.fixture.lines.at(-1)!, /1 found/);
  assert.equal(await test.run("verify"), 0);
  assert.match(test.fixture.lines.at(-1)!, /1 hashed/);
  assert.deepEqual(await rowsOf(test.fixture), { archives: ENOUGH, ready: ENOUGH, verified: ENOUGH, missing: 0 });
});

Deno.test("verify: a missing copy is back → found, served again, exit 0", async () => {
  await using test = await createFolderFixture(ENOUGH);
  const path = `${test.root}/archive-55825/${test.folder.locationOf(ADDRESSED).path}`;
  await Deno.rename(path, `${path}.away`);
  assert.equal(await test.run("verify"), 1);
  await Deno.rename(`${path}.away`, path);
  assert.equal(await test.run("verify"), 0);
  assert.match(test.fixture.lines.at(-1)!, /1 found/);
  assert.deepEqual(await rowsOf(test.fixture), { archives: ENOUGH, ready: ENOUGH, verified: ENOUGH, missing: 0 });
});

for (const [gone, what] of [[[3, 8], "more than 5 %"], [null, "all"]] as const) {
  Deno.test(`verify: ${what} of a target is missing → stopped, nothing recorded, exit 3`, async () => {
    await using test = await createFolderFixture(ENOUGH);
    await test.remove(...(gone ?? Array.from({ length: ENOUGH }, (_, index) => index + 1)));
    const before = await rowsOf(test.fixture);
    assert.equal(await test.run("verify"), 3);
    assert.match(test.fixture.lines.at(-2)!, /^folder:folder: stopped – 2 of \d+ copies .* --confirm-missing$/);
    assert.deepEqual(await rowsOf(test.fixture), before);
    assert.ok(!(await test.fixture.events()).includes("replica_missing"));

    assert.equal(await test.run("verify", "--confirm-missing"), 1);
    const left = gone ? ENOUGH - gone.length : 0;
    assert.deepEqual(await rowsOf(test.fixture), { archives: left, ready: left, verified: left, missing: 0 });
    assert.equal(await test.run("verify"), 0);
  });
}

Deno.test("verify: the only copy of a target is missing → stopped", async () => {
  await using test = await createFolderFixture(1);
  await test.remove(1);
  assert.equal(await test.run("verify"), 3);
  assert.deepEqual(await rowsOf(test.fixture), { archives: 1, ready: 1, verified: 1, missing: 0 });
});

const REFUSALS: Readonly<Record<string, (fixture: StorageFixture) => unknown>> = {
  "a token that was withdrawn": ({ test }) => test.hub.user("alice").state = "revoked",
  "an account that was barred": ({ test }) => test.hub.user("alice").state = "flagged",
  "a repository it cannot see": ({ test }) => test.hub.dropRepo("datasets/alice/archive-55825"),
  "an identity repository it cannot see": ({ test }) => test.hub.dropRepo("datasets/alice/keepstream-target"),
  "a 403 for every file": ({ test }) => test.hub.fail({ ...FAILURES.resolve_403, ...EVERY_FILE }),
  "a 5xx for every file": ({ test }) => test.hub.fail({ ...FAILURES.resolve_500, ...EVERY_FILE }),
};
/** All files except the identity file, which is read first. */
const EVERY_FILE = { after: 1, times: 1000 };

for (const [what, refuse] of Object.entries(REFUSALS)) {
  Deno.test(`verify: an account with ${what} → nothing is missing, exit 3`, async () => {
    await using fixture = await createStorageFixture();
    await fixture.archive(fixture.targets(1).slice(0, 1));
    await refuse(fixture);
    assert.equal(await runStorageTask(["verify"], fixture.tools(fixture.targets(1).slice(0, 1))), 3);
    assert.match(fixture.lines.at(-1)!, /0 missing, 0 damaged, 1 unreachable/);
    assert.deepEqual(await rowsOf(fixture), { archives: 1, ready: 1, verified: 1, missing: 0 });
  });
}

Deno.test("verify: copies on a target not configured here → reported, exit 3", async () => {
  await using fixture = await createStorageFixture();
  await fixture.archive(fixture.targets(1));
  assert.equal(await runStorageTask(["verify"], fixture.tools(fixture.targets(1).slice(0, 1))), 3);
  assert.match(fixture.lines.at(-2)!, /^folder:folder: unknown – .* not configured$/);
  assert.match(fixture.lines.at(-1)!, /1 sound.*1 unknown-target/);
});

Deno.test("verify: the operator confirms a lost repository → copied again", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2).slice(0, 2);
  const sha256 = await fixture.archive(targets);
  await fixture.test.hub.dropRepo("datasets/alice/archive-55825");
  assert.equal(await runStorageTask(["verify"], fixture.tools(targets)), 3);
  assert.deepEqual(await fixture.states(), { "hub:alice": "verified", "hub:bob": "verified" });
  assert.equal(
    await runStorageTask(["verify", "--confirm-missing", "--target", "hub:alice"], fixture.tools(targets)),
    1,
  );
  assert.deepEqual(await fixture.states(), { "hub:alice": "pending", "hub:bob": "verified" });
  assert.equal(await runStorageTask(["repair"], fixture.tools(targets)), 0);
  assert.equal((await targets[0]!.find(targets[0]!.locationOf(ADDRESSED)))?.sha256, sha256);
});

Deno.test("verify: confirmed without a target → an invisible repository is kept", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1).slice(0, 1);
  await fixture.archive(targets);
  await fixture.test.hub.dropRepo("datasets/alice/archive-55825");
  assert.equal(await runStorageTask(["verify", "--confirm-missing"], fixture.tools(targets)), 3);
  assert.deepEqual(await rowsOf(fixture), { archives: 1, ready: 1, verified: 1, missing: 0 });
});

Deno.test("repair: the source is not mounted → postponed, no attempt used", async () => {
  await using test = await createFolderFixture(1);
  const { fixture } = test;
  const targets = fixture.targets(1);
  await fixture.store.planRepairs(["hub:alice"]);
  await Deno.rename(test.root, `${test.root}.unmounted`);
  await Deno.mkdir(test.root);
  assert.deepEqual(await repairOnce(fixture.tools(targets)), { claimed: 1, verified: 0, failed: 0 });
  assert.deepEqual(await fixture.states(), { "folder:folder": "verified", "hub:alice": "pending" });
  const [copy] = await fixture.database
    .admin`select attempts, error_message from public.video_replicas where attempts = 0
    and target = 'hub:alice'`;
  assert.match(copy!.error_message, /folder:folder: its .keepstream-target is missing/);
  assert.ok(fixture.tools(targets).breaker.all().every(({ state }) => state === "ok"), "alice's account is well");
});

Deno.test("verify: an I/O error of a copy → unreachable, exit 3", async () => {
  await using test = await createFolderFixture(ENOUGH);
  const path = `${test.root}/archive-55825/${test.folder.locationOf(ADDRESSED).path}`;
  await Deno.remove(path);
  await Deno.mkdir(path); // can be opened, fails with EISDIR when read
  assert.equal(await test.run("verify"), 3);
  assert.match(test.fixture.lines.at(-1)!, /0 missing, 0 damaged, 1 unreachable/);
  assert.equal((await rowsOf(test.fixture)).verified, ENOUGH);
});

Deno.test("verify in a terminal: a bar counts copies, problems printed above it", async () => {
  await using test = await createFolderFixture(ENOUGH);
  await test.remove(7);
  const [seen, above]: [number[], string[]] = [[0, 0], []];
  const startBar = (total: number) => ({
    tick: () => void (seen[0]! += 1),
    log: (line: string) => void above.push(line),
    stop: () => void (seen[1] = total),
  });
  assert.equal(await runStorageTask(["verify"], { ...test.fixture.tools(test.fixture.targets(0)), startBar }), 1);
  assert.deepEqual(seen, [ENOUGH, ENOUGH]);
  assert.deepEqual(above, ["folder:folder: ok", `folder:folder 55825/ep7/${KEY}.mp4: missing`]);
  assert.equal(test.fixture.lines.length, 1, "the sum is printed when the bar is gone");
});

Deno.test("repair: the copy is missing everywhere → archive kept, repaired later", async () => {
  await using test = await createFolderFixture(ENOUGH);
  const { fixture } = test;
  const path = `${test.root}/archive-55825/${test.folder.locationOf(ADDRESSED).path}`;
  await Deno.rename(path, `${path}.away`);
  await test.run("verify");
  assert.equal(await test.run("repair"), 1);
  assert.deepEqual(await rowsOf(fixture), { archives: ENOUGH, ready: ENOUGH, verified: ENOUGH - 1, missing: 1 });
  await Deno.rename(`${path}.away`, path);
  await fixture.database.admin`update public.video_replicas set run_at = now()`;
  assert.equal(await test.run("repair"), 0);
  assert.equal((await rowsOf(fixture)).missing, 0);
});

Deno.test("verify: a damaged copy without a correct source → kept", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1);
  const [alice, folder] = [targets[0]!, targets[1]!];
  const sha256 = await fixture.archive(targets);
  const path = `${fixture.test.dir}/folder/archive-55825/${folder.locationOf(ADDRESSED).path}`;
  await Deno.writeFile(path, new Uint8Array(SIZE));
  fixture.test.hub.user("alice").state = "revoked";
  await runStorageTask(["verify"], fixture.tools(targets));
  assert.deepEqual(await fixture.states(), { "folder:folder": "missing", "hub:alice": "verified" });
  const breaker = createCircuitBreaker({ now: Date.now });
  assert.equal((await repairOnce({ ...fixture.tools(targets), breaker })).verified, 0);
  assert.deepEqual(await Deno.readFile(path), new Uint8Array(SIZE), "damaged bytes are better than none");

  fixture.test.hub.user("alice").state = "ok";
  await fixture.database.admin`update public.video_replicas set run_at = now()`;
  assert.equal(
    (await repairOnce({ ...fixture.tools(targets), breaker: createCircuitBreaker({ now: Date.now }) })).verified,
    1,
  );
  assert.equal((await folder.find(folder.locationOf(ADDRESSED)))?.sha256, sha256);
  assert.equal(await runStorageTask(["verify"], fixture.tools([alice, folder])), 0);
});

Deno.test("verify: two verifications find a missing copy → counted once", async () => {
  await using test = await createFolderFixture(ENOUGH);
  await test.remove(7);
  assert.deepEqual(await Promise.all([test.run("verify"), test.run("verify")]), [1, 1]);
  const [copy] = await test.fixture.database
    .admin`select missing_days from public.video_replicas where state = 'missing'`;
  assert.equal(copy!.missing_days, 1);
});

Deno.test("verify: a copy is taken down meanwhile → continues with the others", async () => {
  await using test = await createFolderFixture(ENOUGH);
  await test.remove(7);
  const { fixture } = test;
  const [folder] = fixture.targets(0);
  const taken: IdentifiedTarget = {
    ...folder!,
    async read(location, options) {
      if (location.path.includes("/ep7/")) await fixture.store.takeDown({ malId: 55825, episode: 7 });
      return await folder!.read(location, options);
    },
  };
  assert.equal(await runStorageTask(["verify"], fixture.tools([taken])), 1);
  assert.deepEqual(await rowsOf(fixture), {
    archives: ENOUGH - 1,
    ready: ENOUGH - 1,
    verified: ENOUGH - 1,
    missing: 0,
  });
});

Deno.test("verify --json: one object with targets, counts and problems", async () => {
  await using test = await createFolderFixture(ENOUGH);
  await test.remove(7);
  assert.equal(await test.run("verify", "--json"), 1);
  assert.equal(test.fixture.lines.length, 1);
  const output = JSON.parse(test.fixture.lines[0]!);
  assert.equal(output.exit_code, 1);
  assert.deepEqual(output.targets, [
    { target: "folder:folder", state: "ok", message: null, checked: ENOUGH, missing: 1 },
  ]);
  assert.deepEqual([output.counts.sound, output.counts.missing], [ENOUGH - 1, 1]);
  assert.deepEqual(output.copies, [
    { target: "folder:folder", path: `55825/ep7/${KEY}.mp4`, verdict: "missing" },
  ]);
});

Deno.test("storage commands: an unknown option → usage, exit 2, nothing done", async () => {
  await using test = await createFolderFixture(1);
  for (
    const args of [["verify", "--dry-run"], ["repair", "--confirm-missing"], ["verify", "--share", "2"], ["--what"]]
  ) {
    assert.equal(await test.run(...args), 2, args.join(" "));
  }
  assert.equal(await test.run("verify", "--target", "folder:other"), 2);
});
