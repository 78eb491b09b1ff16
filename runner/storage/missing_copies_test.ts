// What is out of sight is not lost: targets that are not mounted, emptied, swapped or refused, and copies that are really gone.

import assert from "node:assert/strict";
import { FAILURES } from "../../dev/hub/failures.ts";
import { createStorageRig, KEY, SIZE, type StorageRig } from "../../dev/storage_rig.ts";
import { createHealthBook } from "./health.ts";
import type { IdentifiedTarget } from "./identity.ts";
import { MARKER_NAME, markerText } from "./marker.ts";
import { repairOnce } from "./repair.ts";
import { createSlots } from "./slots.ts";
import { stageFile } from "./staged_file.ts";
import { StorageError } from "./storage_error.ts";
import { runStorageTask } from "./tasks.ts";

/** One of them is 4 % of all. */
const ENOUGH = 25;

const ADDRESSED = { malId: 55825, episode: 1, fileKey: KEY };

interface FolderRig extends AsyncDisposable {
  readonly rig: StorageRig;
  readonly folder: IdentifiedTarget;
  readonly root: string;
  run(...args: string[]): Promise<number>;
  remove(...episodes: number[]): Promise<void>;
}

/** Archives whose only copies are in a folder. */
async function createFolderRig(episodes: number): Promise<FolderRig> {
  const rig = await createStorageRig();
  const folder = rig.targets(0)[0]!;
  const root = `${rig.test.dir}/folder`;
  for (let episode = 1; episode <= episodes; episode++) await rig.archive([folder], episode);
  return {
    rig,
    folder,
    root,
    // A process of its own remembers nothing.
    run: (...args) => runStorageTask(args, rig.tools(rig.targets(0))),
    async remove(...gone) {
      for (const episode of gone) {
        const { path } = folder.address({ ...ADDRESSED, episode });
        await Deno.remove(`${root}/archive-55825/${path}`);
      }
    },
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  };
}

/** Rows of archives, jobs and copies, as what is lost shows in them. */
async function rowsOf({ database }: StorageRig) {
  const [row] = await database.admin`select
    (select count(*)::int from public.video_store) as archives,
    (select count(*)::int from public.video_queue where status = 'ready') as ready,
    (select count(*)::int from public.video_replicas where state = 'verified') as verified,
    (select count(*)::int from public.video_replicas where state = 'missing') as missing`;
  return { ...row };
}

const OUT_OF_SIGHT: Readonly<Record<string, (root: string) => Promise<void>>> = {
  "an empty folder in its place": (root) => Deno.mkdir(root),
  "nothing in its place": () => Promise.resolve(),
  "a file in its place": (root) => Deno.writeTextFile(root, ""),
  "another disk in its place": async (root) => {
    await Deno.mkdir(root);
    await Deno.writeTextFile(`${root}/${MARKER_NAME}`, markerText(crypto.randomUUID()));
  },
  "a folder with a damaged identity file": async (root) => {
    await Deno.mkdir(root);
    await Deno.writeTextFile(`${root}/${MARKER_NAME}`, "<html>");
  },
  "a folder of a newer version": async (root) => {
    await Deno.mkdir(root);
    await Deno.writeTextFile(`${root}/${MARKER_NAME}`, `{"id":"${crypto.randomUUID()}","version":2}`);
  },
};

for (const [name, place] of Object.entries(OUT_OF_SIGHT)) {
  Deno.test(`verify with ${name} → no row changes, exit 3`, async () => {
    await using test = await createFolderRig(3);
    const before = await rowsOf(test.rig);
    assert.deepEqual(before, { archives: 3, ready: 3, verified: 3, missing: 0 });
    await Deno.rename(test.root, `${test.root}.unmounted`);
    await place(test.root);
    assert.equal(await test.run("verify"), 3);
    assert.match(test.rig.lines[0]!, /^folder:folder: (identity|slow) – /);
    assert.equal(await test.run("verify", "--confirm-missing"), 3);
    assert.deepEqual(await rowsOf(test.rig), before);
    assert.equal(await test.run("health"), 1);

    // Back in its place, all is as it was.
    await Deno.remove(test.root, { recursive: true }).catch(() => {}); // there was nothing
    await Deno.rename(`${test.root}.unmounted`, test.root);
    assert.equal(await test.run("verify"), 0);
    assert.match(test.rig.lines.at(-1)!, /^3 sound/);
  });
}

Deno.test("a put to a folder that is not mounted → refused, and no new identity", async () => {
  await using test = await createFolderRig(1);
  await Deno.rename(test.root, `${test.root}.unmounted`);
  await Deno.mkdir(test.root);
  const file = await stageFile((await test.rig.test.file("2.mp4", SIZE, 2)).path);
  const address = test.folder.address({ ...ADDRESSED, episode: 2 });
  await assert.rejects(test.folder.put(file, address, { slots: createSlots(6) }), { code: "storage_unidentified" });
  assert.deepEqual([...Deno.readDirSync(test.root)], []);
});

Deno.test("a put while the folder is unmounted under it → nothing becomes visible", async () => {
  await using test = await createFolderRig(1);
  const file = await stageFile((await test.rig.test.file("2.mp4", SIZE, 2)).path);
  const address = test.folder.address({ ...ADDRESSED, episode: 2 });
  const putting = test.folder.put(file, address, {
    slots: createSlots(6),
    onProgress: () => Deno.removeSync(`${test.root}/${MARKER_NAME}`),
  });
  await assert.rejects(putting, { code: "storage_unidentified" });
  assert.equal(await Deno.stat(`${test.root}/archive-55825/${address.path}`).catch(() => null), null);
});

Deno.test("takedown with an empty folder in the disk's place → said to be left, and finished when it is back", async () => {
  await using test = await createFolderRig(1);
  await Deno.rename(test.root, `${test.root}.unmounted`);
  await Deno.mkdir(test.root);
  assert.equal(await test.run("takedown", "55825"), 1);
  assert.match(test.rig.lines.at(-1)!, /^left on folder:folder: /);
  await Deno.remove(test.root, { recursive: true });
  await Deno.rename(`${test.root}.unmounted`, test.root);
  assert.equal(await test.run("takedown", "55825"), 0);
  assert.equal(test.rig.lines.at(-1), "0 jobs and their rows removed, 1 files removed");
});

Deno.test("takedown of a copy on a target that is not configured → remembered, exit 1 until it is removed", async () => {
  await using rig = await createStorageRig();
  const all = rig.targets(2);
  await rig.archive(all);
  const without = rig.tools(all.filter(({ name }) => name !== "hub:bob"));
  for (const round of [1, 2]) {
    assert.equal(await runStorageTask(["takedown", "55825"], without), 1, `round ${round}`);
    assert.equal(rig.lines.at(-1), "left on hub:bob: it is not configured here");
  }
  assert.ok(rig.test.hub.usedBytes("bob") > 0);
  assert.equal(await runStorageTask(["takedown", "55825"], rig.tools(all)), 0);
  assert.equal(rig.test.hub.usedBytes("bob"), 0);
  assert.equal(await runStorageTask(["takedown", "55825"], without), 0);
});

Deno.test("verify where one copy of many is gone → kept as missing, the archive stays, exit 1", async () => {
  await using test = await createFolderRig(ENOUGH);
  await test.remove(7);
  assert.equal(await test.run("verify"), 1);
  assert.deepEqual(await rowsOf(test.rig), { archives: ENOUGH, ready: ENOUGH, verified: ENOUGH - 1, missing: 1 });
  assert.equal(await test.run("verify"), 1, "the same day again counts once");
  const [copy] = await test.rig.database.admin`select missing_days from public.video_replicas where state = 'missing'`;
  assert.equal(copy!.missing_days, 1);
});

Deno.test("verify on three days where a copy is gone → confirmed, and the video queued again", async () => {
  await using test = await createFolderRig(ENOUGH);
  await test.remove(7);
  const { admin } = test.rig.database;
  for (const day of [1, 2]) {
    assert.equal(await test.run("verify"), 1);
    assert.equal((await rowsOf(test.rig)).archives, ENOUGH, `day ${day}`);
    await admin`update public.video_replicas set missing_on = missing_on - 1 where state = 'missing'`;
  }
  assert.equal(await test.run("verify"), 1);
  assert.deepEqual(await rowsOf(test.rig), {
    archives: ENOUGH - 1,
    ready: ENOUGH - 1,
    verified: ENOUGH - 1,
    missing: 0,
  });
  const [job] = await admin`select status from public.video_queue where episode = 7`;
  assert.equal(job!.status, "pending");
  assert.ok((await test.rig.events()).includes("replica_lost"));
});

Deno.test("verify on a day that came before → not counted: a clock that is put back makes no days", async () => {
  await using test = await createFolderRig(ENOUGH);
  await test.remove(7);
  const { admin } = test.rig.database;
  for (const _ of [1, 2, 3]) {
    assert.equal(await test.run("verify"), 1);
    await admin`update public.video_replicas set missing_on = missing_on + 1 where state = 'missing'`;
  }
  const [copy] = await admin`select missing_days from public.video_replicas where state = 'missing'`;
  assert.equal(copy?.missing_days, 1);
});

Deno.test("verify where a missing copy without a recorded hash is back → found, served as before", async () => {
  await using test = await createFolderRig(ENOUGH);
  const { admin } = test.rig.database;
  const { path } = test.folder.address(ADDRESSED);
  await admin`update public.video_replicas set sha256 = null where path = ${path}`;
  await admin`update public.video_store set sha256 = null where hf_path = ${path}`;
  const file = `${test.root}/archive-55825/${path}`;
  await Deno.rename(file, `${file}.away`);
  assert.equal(await test.run("verify"), 1);
  await Deno.rename(`${file}.away`, file);
  assert.equal(await test.run("verify"), 0);
  assert.match(test.rig.lines.at(-1)!, /1 found/);
  assert.equal(await test.run("verify"), 0);
  assert.match(test.rig.lines.at(-1)!, /1 hashed/);
  assert.deepEqual(await rowsOf(test.rig), { archives: ENOUGH, ready: ENOUGH, verified: ENOUGH, missing: 0 });
});

Deno.test("verify where a missing copy is back → found, served as before, exit 0", async () => {
  await using test = await createFolderRig(ENOUGH);
  const path = `${test.root}/archive-55825/${test.folder.address(ADDRESSED).path}`;
  await Deno.rename(path, `${path}.away`);
  assert.equal(await test.run("verify"), 1);
  await Deno.rename(`${path}.away`, path);
  assert.equal(await test.run("verify"), 0);
  assert.match(test.rig.lines.at(-1)!, /1 found/);
  assert.deepEqual(await rowsOf(test.rig), { archives: ENOUGH, ready: ENOUGH, verified: ENOUGH, missing: 0 });
});

for (const [gone, what] of [[[3, 8], "more than 5 %"], [null, "all"]] as const) {
  Deno.test(`verify where ${what} of a target is missing → stops, records nothing, exit 3`, async () => {
    await using test = await createFolderRig(ENOUGH);
    await test.remove(...(gone ?? Array.from({ length: ENOUGH }, (_, index) => index + 1)));
    const before = await rowsOf(test.rig);
    assert.equal(await test.run("verify"), 3);
    assert.match(test.rig.lines.at(-2)!, /^folder:folder: stopped – 2 of \d+ copies .* --confirm-missing$/);
    assert.deepEqual(await rowsOf(test.rig), before);
    assert.ok(!(await test.rig.events()).includes("replica_missing"));

    assert.equal(await test.run("verify", "--confirm-missing"), 1);
    const left = gone ? ENOUGH - gone.length : 0;
    assert.deepEqual(await rowsOf(test.rig), { archives: left, ready: left, verified: left, missing: 0 });
    assert.equal(await test.run("verify"), 0);
  });
}

Deno.test("verify of one archive whose only copy is missing → stops: it is all of the target", async () => {
  await using test = await createFolderRig(1);
  await test.remove(1);
  assert.equal(await test.run("verify"), 3);
  assert.deepEqual(await rowsOf(test.rig), { archives: 1, ready: 1, verified: 1, missing: 0 });
});

const REFUSALS: Readonly<Record<string, (rig: StorageRig) => unknown>> = {
  "a token that was withdrawn": ({ test }) => test.hub.user("alice").state = "revoked",
  "an account that was barred": ({ test }) => test.hub.user("alice").state = "flagged",
  "a repository it cannot see": ({ test }) => test.hub.dropRepo("datasets/alice/archive-55825"),
  "an identity repository it cannot see": ({ test }) => test.hub.dropRepo("datasets/alice/keepstream-target"),
  "a 403 for every file": ({ test }) => test.hub.fail({ ...FAILURES.resolve_403, ...EVERY_FILE }),
  "a 5xx for every file": ({ test }) => test.hub.fail({ ...FAILURES.resolve_500, ...EVERY_FILE }),
};
/** All but the identity file, which is read first. */
const EVERY_FILE = { after: 1, times: 1000 };

for (const [what, refuse] of Object.entries(REFUSALS)) {
  Deno.test(`verify of an account with ${what} → nothing is missing, exit 3`, async () => {
    await using rig = await createStorageRig();
    await rig.archive(rig.targets(1).slice(0, 1));
    await refuse(rig);
    assert.equal(await runStorageTask(["verify"], rig.tools(rig.targets(1).slice(0, 1))), 3);
    assert.match(rig.lines.at(-1)!, /0 missing, 0 damaged, 1 unreachable/);
    assert.deepEqual(await rowsOf(rig), { archives: 1, ready: 1, verified: 1, missing: 0 });
  });
}

Deno.test("verify of copies on a target that is not configured → told, nothing is missing, exit 3", async () => {
  await using rig = await createStorageRig();
  await rig.archive(rig.targets(1));
  assert.equal(await runStorageTask(["verify"], rig.tools(rig.targets(1).slice(0, 1))), 3);
  assert.match(rig.lines.at(-2)!, /^folder:folder: unknown – .* not configured$/);
  assert.match(rig.lines.at(-1)!, /1 sound.*1 unknown-target/);
});

Deno.test("a repository that an operator confirms as gone → its copies are made again from another account", async () => {
  await using rig = await createStorageRig();
  const targets = rig.targets(2).slice(0, 2);
  const sha256 = await rig.archive(targets);
  await rig.test.hub.dropRepo("datasets/alice/archive-55825");
  assert.equal(await runStorageTask(["verify"], rig.tools(targets)), 3);
  assert.deepEqual(await rig.states(), { "hub:alice": "verified", "hub:bob": "verified" });
  assert.equal(await runStorageTask(["verify", "--confirm-missing", "--target", "hub:alice"], rig.tools(targets)), 1);
  assert.deepEqual(await rig.states(), { "hub:alice": "pending", "hub:bob": "verified" });
  assert.equal(await runStorageTask(["repair"], rig.tools(targets)), 0);
  assert.equal((await targets[0]!.find(targets[0]!.address(ADDRESSED)))?.sha256, sha256);
});

Deno.test("confirming what is missing, no target named → a repository that cannot be seen is kept", async () => {
  await using rig = await createStorageRig();
  const targets = rig.targets(1).slice(0, 1);
  await rig.archive(targets);
  await rig.test.hub.dropRepo("datasets/alice/archive-55825");
  assert.equal(await runStorageTask(["verify", "--confirm-missing"], rig.tools(targets)), 3);
  assert.deepEqual(await rowsOf(rig), { archives: 1, ready: 1, verified: 1, missing: 0 });
});

Deno.test("repair whose source is not mounted → postponed: no attempt used, no copy reported missing", async () => {
  await using test = await createFolderRig(1);
  const { rig } = test;
  const targets = rig.targets(1);
  await rig.store.planRepairs(["hub:alice"]);
  await Deno.rename(test.root, `${test.root}.unmounted`);
  await Deno.mkdir(test.root);
  assert.deepEqual(await repairOnce(rig.tools(targets)), { claimed: 1, verified: 0, failed: 0 });
  assert.deepEqual(await rig.states(), { "folder:folder": "verified", "hub:alice": "pending" });
  const [copy] = await rig.database.admin`select attempts, error_message from public.video_replicas where attempts = 0
    and target = 'hub:alice'`;
  assert.match(copy!.error_message, /folder:folder: its .keepstream-target is gone/);
  assert.ok(rig.tools(targets).health.all().every(({ state }) => state === "ok"), "alice's account is well");
});

Deno.test("repair of a copy that is missing everywhere → the archive is kept, and is whole when one is back", async () => {
  await using test = await createFolderRig(ENOUGH);
  const { rig } = test;
  const path = `${test.root}/archive-55825/${test.folder.address(ADDRESSED).path}`;
  await Deno.rename(path, `${path}.away`);
  await test.run("verify");
  assert.equal(await test.run("repair"), 1);
  assert.deepEqual(await rowsOf(rig), { archives: ENOUGH, ready: ENOUGH, verified: ENOUGH - 1, missing: 1 });
  await Deno.rename(`${path}.away`, path);
  await rig.database.admin`update public.video_replicas set run_at = now()`;
  assert.equal(await test.run("repair"), 0);
  assert.equal((await rowsOf(rig)).missing, 0);
});

Deno.test("a damaged copy while no sound one can be read → it stays where it is", async () => {
  await using rig = await createStorageRig();
  const targets = rig.targets(1);
  const [alice, folder] = [targets[0]!, targets[1]!];
  const sha256 = await rig.archive(targets);
  const path = `${rig.test.dir}/folder/archive-55825/${folder.address(ADDRESSED).path}`;
  await Deno.writeFile(path, new Uint8Array(SIZE));
  rig.test.hub.user("alice").state = "revoked";
  await runStorageTask(["verify"], rig.tools(targets));
  assert.deepEqual(await rig.states(), { "folder:folder": "missing", "hub:alice": "verified" });
  const health = createHealthBook({ now: Date.now });
  assert.equal((await repairOnce({ ...rig.tools(targets), health })).verified, 0);
  assert.deepEqual(await Deno.readFile(path), new Uint8Array(SIZE), "damaged bytes are better than none");

  rig.test.hub.user("alice").state = "ok";
  await rig.database.admin`update public.video_replicas set run_at = now()`;
  assert.equal((await repairOnce({ ...rig.tools(targets), health: createHealthBook({ now: Date.now }) })).verified, 1);
  assert.equal((await folder.find(folder.address(ADDRESSED)))?.sha256, sha256);
  assert.equal(await runStorageTask(["verify"], rig.tools([alice, folder])), 0);
});

Deno.test("two verifications at once of a copy that is gone → counted once", async () => {
  await using test = await createFolderRig(ENOUGH);
  await test.remove(7);
  assert.deepEqual(await Promise.all([test.run("verify"), test.run("verify")]), [1, 1]);
  const [copy] = await test.rig.database.admin`select missing_days from public.video_replicas where state = 'missing'`;
  assert.equal(copy!.missing_days, 1);
});

Deno.test("verify of a copy that is taken down meanwhile → goes on with the others", async () => {
  await using test = await createFolderRig(ENOUGH);
  await test.remove(7);
  const { rig } = test;
  const [folder] = rig.targets(0);
  const taken: IdentifiedTarget = {
    ...folder!,
    async read(address, options) {
      if (address.path.includes("/ep7/")) await rig.store.takeDown({ malId: 55825, episode: 7 });
      return await folder!.read(address, options);
    },
  };
  assert.equal(await runStorageTask(["verify"], rig.tools([taken])), 1);
  assert.deepEqual(await rowsOf(rig), { archives: ENOUGH - 1, ready: ENOUGH - 1, verified: ENOUGH - 1, missing: 0 });
});

Deno.test("init of an empty disk that replaces one → its copies are missing, and made again once confirmed", async () => {
  await using rig = await createStorageRig();
  const targets = rig.targets(1);
  await rig.archive(targets);
  await Deno.remove(`${rig.test.dir}/folder`, { recursive: true });
  await Deno.mkdir(`${rig.test.dir}/folder`);
  const run = (...args: string[]) => runStorageTask(args, rig.tools(rig.targets(1)));
  assert.equal(await run("verify"), 3);
  assert.equal(await run("init", "folder:disk"), 2);
  assert.equal(await run("init", "folder:folder"), 0);
  assert.equal(await run("verify"), 3, "all of it is missing");
  assert.equal(await run("verify", "--confirm-missing"), 1);
  assert.equal(await run("repair"), 0);
  assert.equal(await run("verify"), 0);
});

Deno.test("a new target that two runners meet at once → one identity, and both can use it", async () => {
  await using rig = await createStorageRig();
  const runners = [rig.targets(1), rig.targets(1)];
  const file = await stageFile((await rig.test.file("1.mp4", SIZE)).path);
  for (const index of [0, 1]) {
    await Promise.all(runners.map((targets, seed) => {
      const target = targets[index]!;
      return target.put(file, target.address({ ...ADDRESSED, episode: seed + 1 }), { slots: createSlots(6) });
    }));
  }
  const recorded = await rig.database.admin`select target, id from keepstream.storage_targets order by target`;
  assert.deepEqual(recorded.map(({ target }) => target), ["folder:folder", "hub:alice"]);
  for (const [index, target] of rig.targets(1).entries()) {
    const { id } = recorded.find((row) => row.target === target.name)!;
    assert.equal(await target.readMarker(), markerText(id), `${index}`);
    assert.equal(await target.identify(), "known");
  }
});

Deno.test("a database that is away → what is known stays known, a new process cannot put", async () => {
  await using test = await createFolderRig(1);
  const away = () => Promise.reject(new Error("connection refused"));
  Object.assign(test.rig.store, { checkTarget: away, registerTarget: away });
  const file = await stageFile((await test.rig.test.file("2.mp4", SIZE, 2)).path);
  const address = test.folder.address({ ...ADDRESSED, episode: 2 });
  const slots = createSlots(6);
  assert.equal((await test.folder.put(file, address, { slots })).alreadyThere, false);
  const fresh = test.rig.targets(0)[0]!;
  const error = await fresh.put(file, address, { slots }).catch((reason) => reason);
  assert.equal(error.code, "network");
  assert.ok(!(error instanceof StorageError), "it says nothing about the target");
});

Deno.test("verify --json → one object with targets, counts and the copies that are not sound", async () => {
  await using test = await createFolderRig(ENOUGH);
  await test.remove(7);
  assert.equal(await test.run("verify", "--json"), 1);
  assert.equal(test.rig.lines.length, 1);
  const told = JSON.parse(test.rig.lines[0]!);
  assert.equal(told.exit_code, 1);
  assert.deepEqual(told.targets, [
    { target: "folder:folder", state: "ok", message: null, checked: ENOUGH, missing: 1 },
  ]);
  assert.deepEqual([told.counts.sound, told.counts.missing], [ENOUGH - 1, 1]);
  assert.deepEqual(told.copies, [
    { target: "folder:folder", path: `55825/ep7/${KEY}.mp4`, verdict: "missing" },
  ]);
});

Deno.test("storage tasks: an option that is not theirs → usage, exit 2, nothing done", async () => {
  await using test = await createFolderRig(1);
  for (
    const args of [["verify", "--dry-run"], ["repair", "--confirm-missing"], ["verify", "--share", "2"], ["--what"]]
  ) {
    assert.equal(await test.run(...args), 2, args.join(" "));
  }
  assert.equal(await test.run("verify", "--target", "folder:other"), 2);
});
