import assert from "node:assert/strict";
import { createDiskBudget } from "./disk_budget.ts";
import { openJobDir, openRepairDir, removeLeftovers } from "./work_dir.ts";

const DAY = 24 * 3600 * 1000;
const id = () => crypto.randomUUID();
const none = () => Promise.resolve(new Set<string>());
const noneFinished = { finishedJobIds: none, finishedRepairIds: none };

Deno.test("openJobDir: locked by another process → shutdown with Retry-After", async () => {
  const root = await Deno.makeTempDir();
  const job = id();
  const holder = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `const f = await Deno.open("${root}/job-${job}/lock", { create: true, write: true }); await f.lock(true); console.log("held"); await new Promise((r) => setTimeout(r, 60000));`,
    ],
    stdout: "piped",
  });
  await Deno.mkdir(`${root}/job-${job}`);
  const child = holder.spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  await assert.rejects(openJobDir(root, job), { code: "shutdown", retryAfterSeconds: 15 });
  assert.equal(
    await removeLeftovers(root, { maxAgeMs: 0, now: () => Date.now() + DAY, ...noneFinished }),
    0,
    "the work of a live job stays",
  );
  child.kill("SIGKILL");
  await reader.cancel();
  await child.status;
  await using _dir = await openJobDir(root, job);
});

Deno.test("removeLeftovers: old, unlocked → deleted; young or foreign → kept", async () => {
  const root = await Deno.makeTempDir();
  for (const name of [`job-${id()}`, `job-${id()}`, `repair-${id()}`, "foreign"]) {
    await Deno.mkdir(`${root}/${name}`);
  }
  await Deno.writeTextFile(`${root}/notes.txt`, "x");
  assert.equal(await removeLeftovers(root, { maxAgeMs: DAY, now: Date.now, ...noneFinished }), 0);
  assert.equal(await removeLeftovers(root, { maxAgeMs: DAY, now: () => Date.now() + DAY + 1000, ...noneFinished }), 3);
  assert.deepEqual([...Deno.readDirSync(root)].map((entry) => entry.name).sort(), ["foreign", "notes.txt"]);
  await Deno.remove(root, { recursive: true });
});

Deno.test("removeLeftovers: a killed repair → deleted; unfinished → journals kept", async () => {
  const root = await Deno.makeTempDir();
  const [whole, waiting, held] = [id(), id(), id()];
  const holder = await openRepairDir(root, held);
  for (const store of [whole, waiting, held]) {
    await Deno.mkdir(`${root}/repair-${store}`, { recursive: true });
    for (const name of ["copy.mp4", "x.poster.jpg", "copy.mp4.hub-alice.upload"]) {
      await Deno.writeTextFile(`${root}/repair-${store}/${name}`, "x");
    }
  }
  const namesIn = (store: string) => [...Deno.readDirSync(`${root}/repair-${store}`)].map(({ name }) => name).sort();
  const finishedRepairIds = (ids: readonly string[]) =>
    Promise.resolve(new Set(ids.filter((store) => store !== waiting)));
  const rules = { maxAgeMs: DAY, now: Date.now, finishedJobIds: none, finishedRepairIds };
  assert.equal(await removeLeftovers(root, rules), 1);
  await assert.rejects(Deno.stat(`${root}/repair-${whole}`), Deno.errors.NotFound);
  assert.deepEqual(namesIn(waiting), ["copy.mp4.hub-alice.upload", "lock"]);
  assert.deepEqual(namesIn(held), ["copy.mp4", "copy.mp4.hub-alice.upload", "lock", "x.poster.jpg"]);
  holder.discard();
  await holder[Symbol.asyncDispose]();
  assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => name), [`repair-${waiting}`]);
  await Deno.remove(root, { recursive: true });
});

Deno.test("openJobDir: discarded → deleted; otherwise → the state is kept", async () => {
  const root = await Deno.makeTempDir();
  const job = id();
  {
    await using dir = await openJobDir(root, job);
    await dir.writeState({ source: "a" });
  }
  {
    await using dir = await openJobDir(root, job);
    assert.deepEqual(await dir.readState(), { source: "a" });
    dir.discard();
  }
  assert.deepEqual([...Deno.readDirSync(root)], []);
  await Deno.remove(root);
});

Deno.test("createDiskBudget: two jobs → must fit together; written bytes count", async () => {
  const MIB = 1024 * 1024;
  let free = 256 * MIB + 100;
  const dir = await Deno.makeTempDir();
  const budget = createDiskBudget(dir, { freeBytes: () => Promise.resolve(free) });
  const first = await budget.reserve(60);
  await assert.rejects(budget.reserve(50), { code: "disk_full" });
  free -= 60;
  first.wrote(60);
  const second = await budget.reserve(40);
  await assert.rejects(second.resize(41), { code: "disk_full" });
  first[Symbol.dispose]();
  free += 60;
  await second.resize(100);
  await budget.reserve(0);
  assert.equal(await budget.capacity(), 0);
  free += 3 * 64 * MIB;
  assert.equal(await budget.capacity(), 3);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("createDiskBudget: a job ran out → 0 until its space is free", async () => {
  const MIB = 1024 * 1024;
  const dir = await Deno.makeTempDir();
  let free = (256 + 100) * MIB;
  const budget = createDiskBudget(dir, {
    freeBytes: () => Promise.resolve(free),
    totalBytes: () => Promise.resolve(1e9),
  });
  await assert.rejects(budget.reserve(200 * MIB), { code: "disk_full", neededBytes: 200 * MIB });
  assert.equal(await budget.capacity(), 1, "a repair that does not fit stops no job");
  assert.equal(budget.ranOut(200 * MIB), true);
  assert.equal(await budget.capacity(), 0);
  assert.match((await budget.problem())!, /needs 200 MiB for a job, 100 MiB are left/);
  free += 100 * MIB;
  assert.equal(await budget.problem(), null);
  assert.equal(await budget.capacity(), 3);
  await assert.rejects(budget.reserve(1e9), { code: "disk_full", neededBytes: null }, "the disk is too small");
  await Deno.remove(dir, { recursive: true });
});

Deno.test("createDiskBudget: jobs fail despite free space → waits grow, then fail", async () => {
  const dir = await Deno.makeTempDir();
  let now = 0;
  const budget = createDiskBudget(dir, { freeBytes: () => Promise.resolve(1e12), now: () => now });
  assert.equal(budget.ranOut(0), true);
  assert.ok(await budget.capacity() > 0, "capacity that came meanwhile");
  for (const seconds of [10, 20, 40, 80]) {
    assert.equal(budget.ranOut(0), true);
    now += seconds * 1000 - 1;
    assert.equal(await budget.capacity(), 0, `${seconds} s`);
    now++;
    assert.ok(await budget.capacity() > 0, `${seconds} s`);
  }
  assert.equal(budget.ranOut(0), false);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("createDiskBudget: the directory cannot be created → a problem, 0", async () => {
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(`${dir}/file`, "");
  const budget = createDiskBudget(`${dir}/file/work`);
  assert.match((await budget.problem())!, /cannot be written to/);
  assert.equal(await budget.capacity(), 0);
  await Deno.remove(dir, { recursive: true });
});
