// A target that is not the registered one: not mounted, emptied, swapped, or new.

import assert from "node:assert/strict";
import { ADDRESSED, createFolderFixture, rowsOf } from "../../dev/testing/folder_fixture.ts";
import { createStorageFixture, SIZE } from "../../dev/testing/storage_fixture.ts";
import { startMaintenance } from "./maintenance.ts";
import { MARKER_NAME, markerText } from "../targets/marker.ts";
import { createSemaphore } from "../transfer/semaphore.ts";
import { stageFile } from "../transfer/staged_file.ts";
import { StorageError } from "../transfer/storage_error.ts";
import { runStorageTask } from "./tasks.ts";

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
  Deno.test(`verify: ${name} → no row changes, exit 3`, async () => {
    await using test = await createFolderFixture(3);
    const before = await rowsOf(test.fixture);
    assert.deepEqual(before, { archives: 3, ready: 3, verified: 3, missing: 0 });
    await Deno.rename(test.root, `${test.root}.unmounted`);
    await place(test.root);
    assert.equal(await test.run("verify"), 3);
    assert.match(test.fixture.lines[0]!, /^folder:folder: (identity|slow) – /);
    assert.equal(await test.run("verify", "--confirm-missing"), 3);
    assert.deepEqual(await rowsOf(test.fixture), before);
    assert.equal(await test.run("health"), 1);

    // Back in place: everything is as before.
    await Deno.remove(test.root, { recursive: true }).catch(() => {}); // it may not exist
    await Deno.rename(`${test.root}.unmounted`, test.root);
    assert.equal(await test.run("verify"), 0);
    assert.match(test.fixture.lines.at(-1)!, /^3 sound/);
  });
}

Deno.test("put: the folder is not mounted → refused, no new identity", async () => {
  await using test = await createFolderFixture(1);
  await Deno.rename(test.root, `${test.root}.unmounted`);
  await Deno.mkdir(test.root);
  const file = await stageFile((await test.fixture.test.file("2.mp4", SIZE, 2)).path);
  const location = test.folder.locationOf({ ...ADDRESSED, episode: 2 });
  await assert.rejects(test.folder.put(file, location, { semaphore: createSemaphore(6) }), {
    code: "storage_unidentified",
  });
  assert.deepEqual([...Deno.readDirSync(test.root)], []);
});

Deno.test("put: the folder is unmounted meanwhile → nothing becomes visible", async () => {
  await using test = await createFolderFixture(1);
  const file = await stageFile((await test.fixture.test.file("2.mp4", SIZE, 2)).path);
  const location = test.folder.locationOf({ ...ADDRESSED, episode: 2 });
  let mounted = true;
  const putting = test.folder.put(file, location, {
    semaphore: createSemaphore(6),
    onProgress() {
      if (mounted) Deno.removeSync(`${test.root}/${MARKER_NAME}`);
      mounted = false;
    },
  });
  await assert.rejects(putting, { code: "storage_unidentified" });
  assert.equal(await Deno.stat(`${test.root}/archive-55825/${location.path}`).catch(() => null), null);
});

Deno.test("takedown: an empty folder replaces the disk → left, finished later", async () => {
  await using test = await createFolderFixture(1);
  await Deno.rename(test.root, `${test.root}.unmounted`);
  await Deno.mkdir(test.root);
  assert.equal(await test.run("takedown", "55825"), 1);
  assert.match(test.fixture.lines.at(-1)!, /^left on folder:folder: /);
  await Deno.remove(test.root, { recursive: true });
  await Deno.rename(`${test.root}.unmounted`, test.root);
  assert.equal(await test.run("takedown", "55825"), 0);
  assert.equal(test.fixture.lines.at(-1), "0 jobs and their rows removed, 1 files removed");
});

Deno.test("takedown: the target is not configured → pending, exit 1", async () => {
  await using fixture = await createStorageFixture();
  const all = fixture.targets(2);
  await fixture.archive(all);
  const without = fixture.tools(all.filter(({ name }) => name !== "hub:bob"));
  for (const round of [1, 2]) {
    assert.equal(await runStorageTask(["takedown", "55825"], without), 1, `round ${round}`);
    assert.equal(fixture.lines.at(-1), "left on hub:bob: it is not configured here");
  }
  assert.ok(fixture.test.hub.usedBytes("bob") > 0);
  assert.equal(await runStorageTask(["takedown", "55825"], fixture.tools(all)), 0);
  assert.equal(fixture.test.hub.usedBytes("bob"), 0);
  assert.equal(await runStorageTask(["takedown", "55825"], without), 0);
});

Deno.test("maintenance: an empty folder replaces the disk → nothing written", async () => {
  await using test = await createFolderFixture(2);
  const { fixture } = test;
  const targets = fixture.targets(1);
  await fixture.archive([targets[0]!], 3);
  await Deno.rename(test.root, `${test.root}.unmounted`);
  await Deno.mkdir(test.root);
  const tools = fixture.tools(targets);
  const postponed = new Set<string>();
  const round = Promise.withResolvers<void>();
  const maintenance = startMaintenance({
    ...tools,
    repairEveryMs: 60_000,
    onOutcome(repair, outcome) {
      assert.equal(outcome.state, "pending");
      postponed.add(`episode ${repair.archive.episode} on ${repair.target}`);
      if (postponed.size === 3) round.resolve();
    },
    onError: (error) => round.reject(error),
  });
  await round.promise.finally(() => maintenance.stop());
  assert.deepEqual([...postponed].sort(), [
    "episode 1 on hub:alice",
    "episode 2 on hub:alice",
    "episode 3 on folder:folder",
  ]);
  assert.deepEqual([...Deno.readDirSync(test.root)], []);
  assert.deepEqual(await rowsOf(fixture), { archives: 3, ready: 3, verified: 3, missing: 0 });
  assert.equal(tools.breaker.all().find(({ target }) => target === "folder:folder")?.state, "identity");
});

Deno.test("init: an empty disk replaces one → missing copies are made again", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1);
  await fixture.archive(targets);
  await Deno.remove(`${fixture.test.dir}/folder`, { recursive: true });
  await Deno.mkdir(`${fixture.test.dir}/folder`);
  const run = (...args: string[]) => runStorageTask(args, fixture.tools(fixture.targets(1)));
  assert.equal(await run("verify"), 3);
  assert.equal(await run("init", "folder:disk"), 2);
  assert.equal(await run("init", "folder:folder"), 0);
  assert.equal(await run("verify"), 3, "all of it is missing");
  assert.equal(await run("verify", "--confirm-missing"), 1);
  assert.equal(await run("repair"), 0);
  assert.equal(await run("verify"), 0);
});

Deno.test("new target: two runners start together → one identity, both can use it", async () => {
  await using fixture = await createStorageFixture();
  const runners = [fixture.targets(1), fixture.targets(1)];
  const file = await stageFile((await fixture.test.file("1.mp4", SIZE)).path);
  for (const index of [0, 1]) {
    await Promise.all(runners.map((targets, seed) => {
      const target = targets[index]!;
      return target.put(file, target.locationOf({ ...ADDRESSED, episode: seed + 1 }), {
        semaphore: createSemaphore(6),
      });
    }));
  }
  const recorded = await fixture.database.admin`select target, id from keepstream.storage_targets order by target`;
  assert.deepEqual(recorded.map(({ target }) => target), ["folder:folder", "hub:alice"]);
  for (const [index, target] of fixture.targets(1).entries()) {
    const { id } = recorded.find((row) => row.target === target.name)!;
    assert.equal(await target.readMarker(), markerText(id), `${index}`);
    assert.equal(await target.identify(), "known");
  }
});

Deno.test("database unavailable: verified targets stay; new processes cannot put", async () => {
  await using test = await createFolderFixture(1);
  const away = () => Promise.reject(new Error("connection refused"));
  Object.assign(test.fixture.store, { checkTarget: away, registerTarget: away });
  const file = await stageFile((await test.fixture.test.file("2.mp4", SIZE, 2)).path);
  const location = test.folder.locationOf({ ...ADDRESSED, episode: 2 });
  const semaphore = createSemaphore(6);
  assert.equal((await test.folder.put(file, location, { semaphore })).alreadyThere, false);
  const fresh = test.fixture.targets(0)[0]!;
  const error = await fresh.put(file, location, { semaphore }).catch((reason) => reason);
  assert.equal(error.code, "network");
  assert.ok(!(error instanceof StorageError), "it does not concern the target");
});
