/**
 * A disk that is really full (ENOSPC), at every moment of a job: what cannot be written ends as `disk_full`, the job goes back into the
 * queue, nothing of it is served, and with room again it is archived whole.
 */
import assert from "node:assert/strict";
import { type RunnerProcess, type RunnerRig, startRunnerRig } from "../../dev/runner_rig.ts";
import { checkArchives } from "./chaos/checks.ts";
import { type MediaHost, startMediaHost } from "./media_host.ts";
import { mountSmallDisk, type SmallDisk } from "./small_disk.ts";

const MIB = 1024 * 1024;
/** What the runner leaves free, a first reservation, and some room. */
const DISK_MIB = 256 + 64 + 40;

type Scene = {
  readonly disk: SmallDisk;
  readonly rig: RunnerRig;
  readonly media: MediaHost;
  readonly runner: RunnerProcess;
};

async function onSmallDisk(run: (scene: Scene) => Promise<void>): Promise<void> {
  const disk = await mountSmallDisk(DISK_MIB);
  if ("unavailable" in disk) return console.log(`skipped: ${disk.unavailable}`);
  await using _disk = disk;
  await using media = await startMediaHost({ seconds: 0.7 });
  await using rig = await startRunnerRig({ env: { DEV_ALLOWED_ORIGINS: media.url, RUNNER_CONCURRENCY: "1" } });
  const runner = rig.spawn("small", { enter: disk.enter, env: { RUNNER_WORK_DIR: disk.path } });
  await run({ disk, rig, media, runner });
}

/** Runs video `n` with `strike` once its download has begun. Answers how the run ended: ready, or the class of its failure. */
async function runStruck({ rig, media, runner }: Scene, n: number, strike: () => Promise<void>): Promise<string> {
  const id = await rig.enqueue({ mal_id: 1, episode: n + 1, provider: "catalogue", ...media.video(n) });
  await runner.saw("job:phase", (line) => line.id === id && line.phase === "downloading");
  await strike();
  const row = await rig.until(id, (row) => ["ready", "failed"].includes(row.status));
  if (row.status === "ready") return "ready";
  assert.equal(row.terminal_at, null, `${row.error_class}: ${row.error_message}`);
  const commits = rig.hub.calls.filter((call) => call.at === "commit").length;
  const [stored] = await rig.database.sql`select count(*)::int as n from public.video_store where queue_id = ${id}`;
  assert.equal(stored!.n, 0, `served although it failed; ${commits} commits`);
  return row.error_class!;
}

async function finishAll({ rig, disk, runner }: Scene): Promise<void> {
  await disk.free();
  const ids = await rig.database.sql<{ id: string }[]>`
    update public.video_queue set run_at = now() where status = 'failed' returning id`;
  for (const { id } of ids) await rig.until(id, (row) => row.status === "ready");
  const ready = await rig.database.sql<{ id: string }[]>`select id from public.video_queue`;
  for (const { id } of ready) await runner.saw("job:finished", (line) => line.id === id); // with copies and extras
  assert.deepEqual((await checkArchives(rig)).problems, []);
  runner.child.kill("SIGTERM");
  await runner.ended;
  assert.deepEqual(await disk.entries(), [], "nothing is left of what did not fit");
}

Deno.test("the disk is full from some byte on, wherever that is → disk_full or archived, never anything else, never half", async () => {
  await onSmallDisk(async (scene) => {
    const outcomes: string[] = [];
    for (const [n, mib] of [0, 0, 0.4, 1.1, 2, 2].entries()) {
      outcomes.push(await runStruck(scene, n, () => scene.disk.fill(mib * MIB)));
      await scene.disk.free();
    }
    assert.deepEqual(new Set(outcomes), new Set(["disk_full", "ready"]), outcomes.join());
    assert.deepEqual(outcomes.slice(0, 2), ["disk_full", "disk_full"]);
    await finishAll(scene);
  });
});

Deno.test("no more files can be made, from the first to the last that a job makes → disk_full or archived, never anything else", async () => {
  await onSmallDisk(async (scene) => {
    const outcomes: string[] = [];
    for (const [n, leave] of [0, 0, 1, 2, 3, 4, 6, 9, 12, 15].entries()) {
      outcomes.push(await runStruck(scene, n, () => scene.disk.fillNames(leave)));
      await scene.disk.free();
    }
    assert.deepEqual(new Set(outcomes), new Set(["disk_full", "ready"]), outcomes.join());
    await finishAll(scene);
  });
});
