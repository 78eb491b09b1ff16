/**
 * A disk that is really full (ENOSPC), at every moment of a job: the job is released as `disk_full` and keeps its attempt, nothing of it is
 * served, nothing is claimed until there is space, and then it is archived completely.
 */
import assert from "node:assert/strict";
import { readClip } from "../../dev/emulators/origin/clip.ts";
import { ranged } from "../../dev/testing/fetch_fixture.ts";
import { type RunnerFixture, type RunnerProcess, startRunnerFixture } from "../../dev/testing/runner_fixture.ts";
import { checkArchives } from "./chaos/checks.ts";
import { type MediaHost, startMediaHost } from "./media_host.ts";
import { mountSmallDisk, type SmallDisk } from "./small_disk.ts";

const MIB = 1024 * 1024;
/** The runner's reserve, an initial reservation, and some space. */
const DISK_MIB = 256 + 64 + 40;

type Scene = {
  readonly disk: SmallDisk;
  readonly fixture: RunnerFixture;
  readonly media: MediaHost;
  readonly runner: RunnerProcess;
};

async function onSmallDisk(
  run: (scene: Scene) => Promise<void>,
  { mib = DISK_MIB, env = {} }: { mib?: number; env?: Record<string, string> } = {},
): Promise<void> {
  const disk = await mountSmallDisk(mib);
  if ("unavailable" in disk) return console.log(`skipped: ${disk.unavailable}`);
  await using _disk = disk;
  await using media = await startMediaHost({ seconds: 0.7 });
  await using fixture = await startRunnerFixture({
    env: { DEV_ALLOWED_ORIGINS: media.url, RUNNER_CONCURRENCY: "1", ...env },
  });
  const runner = fixture.spawn("small", { enter: disk.enter, env: { RUNNER_WORK_DIR: disk.path } });
  await run({ disk, fixture, media, runner });
}

/** Runs video `n` and calls `strike` once its download has started. Returns the result: ready, or the error class of its release. */
async function runStruck({ fixture, media, runner }: Scene, n: number, strike: () => Promise<void>): Promise<string> {
  const id = await fixture.enqueue({ mal_id: 1, episode: n + 1, provider: "catalogue", ...media.video(n) });
  await runner.saw("job:phase", (line) => line.id === id && line.phase === "downloading");
  await strike();
  const row = await fixture.until(id, (row) => row.status === "ready" || row.error_class !== null);
  if (row.status === "ready") return "ready";
  assert.notEqual(row.status, "failed", row.error_message!);
  const commits = fixture.hub.calls.filter((call) => call.at === "commit").length;
  const [stored] = await fixture.database.sql`select count(*)::int as n from public.video_store where queue_id = ${id}`;
  assert.equal(stored!.n, 0, `served although it failed; ${commits} commits`);
  return row.error_class!;
}

async function finishAll({ fixture, disk, runner }: Scene): Promise<void> {
  await disk.free();
  const ids = await fixture.database.sql<{ id: string }[]>`select id from public.video_queue`;
  for (const { id } of ids) await fixture.until(id, (row) => row.status === "ready");
  for (const { id } of ids) await runner.saw("job:finished", (line) => line.id === id); // with copies and extras
  const rows = await fixture.database.sql`select attempts, retry_count from public.video_queue`;
  for (const row of rows) assert.deepEqual([row.attempts, row.retry_count], [1, 0], "no attempt was lost");
  assert.deepEqual((await checkArchives(fixture)).problems, []);
  runner.child.kill("SIGTERM");
  await runner.ended;
  assert.deepEqual(await disk.entries(), [], "nothing is left of what did not fit");
}

Deno.test("disk full: after any number of bytes → disk_full or archived", async () => {
  await onSmallDisk(async (scene) => {
    const outcomes: string[] = [];
    for (const [n, mib] of [0, 0, 0.4, 1.1, 6, 12].entries()) {
      outcomes.push(await runStruck(scene, n, () => scene.disk.fill(mib * MIB)));
      await scene.disk.free();
    }
    assert.deepEqual(new Set(outcomes), new Set(["disk_full", "ready"]), outcomes.join());
    assert.deepEqual(outcomes.slice(0, 2), ["disk_full", "disk_full"]);
    await finishAll(scene);
  });
});

Deno.test("disk full: no inodes, at any file of a job → disk_full or archived", async () => {
  await onSmallDisk(async (scene) => {
    const outcomes: string[] = [];
    for (const [n, leave] of [0, 0, 1, 2, 4, 6, 9, 15, 40].entries()) {
      outcomes.push(await runStruck(scene, n, () => scene.disk.fillNames(leave)));
      await scene.disk.free();
    }
    assert.deepEqual(new Set(outcomes), new Set(["disk_full", "ready"]), outcomes.join());
    await finishAll(scene);
  });
});

Deno.test("disk full: /health 503, no claim on notifications; space → continues", async () => {
  await onSmallDisk(async (scene) => {
    const { fixture, media, disk, runner } = scene;
    const { port } = await runner.saw("runner:started");
    assert.equal(await runStruck(scene, 0, () => disk.fill()), "disk_full");
    await runner.saw("claims:paused", (line) => String(line.reason).includes("work directory"));
    const waiting = await fixture.enqueue({ mal_id: 1, episode: 2, provider: "catalogue", ...media.video(1) });
    const authorization = `Bearer ${fixture.env.RUNNER_WEBHOOK_SECRET}`;
    for (let i = 0; i < 5; i++) {
      const notified = await fetch(`http://127.0.0.1:${port}/trigger`, { method: "POST", headers: { authorization } });
      assert.equal((await notified.json()).success, true);
      const health = await fetch(`http://127.0.0.1:${port}/health`);
      assert.equal(health.status, 503);
      assert.match((await health.json()).reason, /^disk: the work directory/);
    }
    const live = await fetch(`http://127.0.0.1:${port}/health/live`);
    assert.deepEqual([live.status, await live.json()], [200, { status: "ok" }]);
    const row = await fixture.job(waiting);
    assert.deepEqual([row.status, row.attempts, row.lease_owner], ["pending", 0, null]);
    assert.equal(runner.lines.filter((line) => line.includes('"job:claimed"')).length, 1);
    await finishAll(scene); // the next poll is an hour away, and no notification is sent
    await runner.saw("claims:resumed");
  }, { env: { RUNNER_POLL_SECONDS: "3600" } });
});

Deno.test("disk full: a video needs more than is free → not claimed until it fits", async () => {
  const clip = await Deno.readFile(`${(await readClip()).dir}/other.mp4`);
  const padding = new Uint8Array(60 * MIB);
  new DataView(padding.buffer).setUint32(0, padding.length);
  padding.set(new TextEncoder().encode("free"), 4);
  const video = new Uint8Array([...clip, ...padding]);
  const host = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => ranged(request, video));
  const url = `http://127.0.0.1:${host.addr.port}`;
  await onSmallDisk(async (scene) => {
    const { fixture, disk, runner } = scene;
    const { port } = await runner.saw("runner:started");
    await disk.fill((256 + 64 + 30) * MIB); // enough for a job of unknown size
    const video = { mal_id: 1, episode: 1, provider: "catalogue", video_url: `${url}/large.mp4`, kind: "mp4" };
    const id = await fixture.enqueue(video);
    const row = await fixture.until(id, (row) => row.error_class !== null);
    assert.deepEqual([row.status, row.error_class, row.attempts], ["pending", "disk_full", 0]);
    await runner.saw("claims:paused", (line) => /needs \d+ MiB/.test(String(line.reason)));
    const authorization = `Bearer ${fixture.env.RUNNER_WEBHOOK_SECRET}`;
    for (let i = 0; i < 5; i++) {
      await (await fetch(`http://127.0.0.1:${port}/trigger`, { method: "POST", headers: { authorization } })).text();
      assert.equal((await fixture.job(id)).lease_owner, null);
    }
    assert.equal(runner.lines.filter((line) => line.includes('"job:claimed"')).length, 1);
    await finishAll(scene);
  }, { mib: 256 + 200, env: { DEV_ALLOWED_ORIGINS: url, RUNNER_POLL_SECONDS: "0.1" } });
  await host.shutdown();
});

Deno.test("disk full: a video larger than the disk → failed, others are archived", async () => {
  const host = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const clip = await Deno.readFile(`${(await readClip()).dir}/other.mp4`);
    if (new URL(request.url).pathname === "/small.mp4") return ranged(request, clip);
    const headers = { "content-range": `bytes 0-15/${2 ** 32}`, "content-type": "video/mp4", "accept-ranges": "bytes" };
    return new Response(clip.slice(0, 16), { status: 206, headers });
  });
  const url = `http://127.0.0.1:${host.addr.port}`;
  await onSmallDisk(async ({ fixture }) => {
    const video = { mal_id: 1, provider: "catalogue", kind: "mp4" };
    const large = await fixture.enqueue({ ...video, episode: 1, video_url: `${url}/large.mp4` });
    const row = await fixture.until(large, (row) => row.error_class !== null);
    assert.deepEqual([row.status, row.error_class, row.attempts], ["failed", "disk_full", 1], row.error_message!);
    const small = await fixture.enqueue({ ...video, episode: 2, video_url: `${url}/small.mp4` });
    await fixture.until(small, (row) => row.status === "ready");
  }, { env: { DEV_ALLOWED_ORIGINS: url } });
  await host.shutdown();
});

Deno.test("work directory: read-only → no claim, /health 503; writable → archived", async () => {
  await onSmallDisk(async (scene) => {
    const { fixture, media, disk, runner } = scene;
    const { port } = await runner.saw("runner:started");
    await disk.remount("ro");
    const id = await fixture.enqueue({ mal_id: 1, episode: 1, provider: "catalogue", ...media.video(0) });
    await runner.saw("claims:paused", (line) => String(line.reason).includes("read-only"));
    assert.match((await (await fetch(`http://127.0.0.1:${port}/health`)).json()).reason, /^disk: /);
    assert.deepEqual([(await fixture.job(id)).status, (await fixture.job(id)).attempts], ["pending", 0]);
    await disk.remount("rw");
    await fixture.until(id, (row) => row.status === "ready");
  });
});

Deno.test("work directory: deleted during a download → no attempt used, archived", async () => {
  await onSmallDisk(async (scene) => {
    const { disk } = scene;
    for (const n of [0, 1]) {
      const outcome = await runStruck(scene, n, async () => {
        for (const entry of await disk.entries()) await disk.remove(entry);
      });
      assert.ok(["disk_full", "ready"].includes(outcome), outcome);
    }
    await finishAll(scene);
  });
});
