/** The hourly cleanup of a running runner (here every second): leftovers of finished jobs are deleted, the rest is kept. */
import assert from "node:assert/strict";
import { startRunnerFixture } from "../../dev/testing/runner_fixture.ts";

const SLOW = { connectMs: 0, latencyMs: 5, bytesPerSecond: 150_000 };

Deno.test("cleanup: finished and unknown jobs → deleted; waiting and live → kept", async () => {
  await using fixture = await startRunnerFixture({ line: SLOW, accounts: 1 });
  const medium = fixture.origin.media.find((medium) => medium.name === "mp4")!;
  const video = { mal_id: 1, provider: "catalogue", resolution: "720p", video_url: await medium.url() };
  const enqueue = (episode: number) => fixture.enqueue({ ...video, episode });
  const [live, waiting, dead] = [await enqueue(1), await enqueue(2), await enqueue(3)];
  await fixture.database.sql`update public.video_queue set run_at = now() + interval '1 hour' where id = ${waiting}`;
  await fixture.database.serviceRole`select public.cancel_video(${dead})`;

  const runner = fixture.spawn("r1", { env: { RUNNER_TIDY_SECONDS: "1", RUNNER_CONCURRENCY: "1" } });
  await fixture.until(live, (row) => Number(row.progress?.bytes_done ?? 0) > 0);
  const left = [waiting, dead, crypto.randomUUID()];
  for (const id of left) { // rename, because the cleanup may run at any moment
    await Deno.mkdir(`${fixture.workDir}-made/${id}`, { recursive: true });
    await Deno.writeTextFile(`${fixture.workDir}-made/${id}/media.bin`, "half a video");
    await Deno.rename(`${fixture.workDir}-made/${id}`, `${fixture.workDir}/job-${id}`);
  }
  await Deno.writeTextFile(`${fixture.workDir}/notes.txt`, "not ours");
  const names = () => [...Deno.readDirSync(fixture.workDir)].map((entry) => entry.name).sort();
  await waitFor(() => names().length === 3);
  assert.deepEqual(names(), [`job-${live}`, `job-${waiting}`, "notes.txt"].sort());
  assert.equal(await Deno.readTextFile(`${fixture.workDir}/job-${waiting}/media.bin`), "half a video");
  await fixture.until(live, (row) => row.status === "ready");
  assert.ok(!runner.lines.some((line) => line.includes('"job:failed"')), "the live job was not disturbed");
});

Deno.test("SIGKILL in a repair: next runner → deletes leftovers, keeps journals", async () => {
  await using fixture = await startRunnerFixture({ hub: { multipartThresholdBytes: 1 << 18, chunkBytes: 1 << 18 } });
  const medium = fixture.origin.media.find((medium) => medium.name === "mp4")!;
  const id = await fixture.enqueue({ mal_id: 1, episode: 1, provider: "catalogue", video_url: await medium.url() });
  const once = async (name: string, env: Record<string, string> = {}) =>
    assert.equal((await fixture.spawn(name, { args: ["run-once"], env }).ended).code, 0);
  await once("one-account", { HF_STORAGE_ACCOUNT_COUNT: "1" });
  assert.equal((await fixture.job(id)).status, "ready");

  fixture.hub.fail({ at: "upload_part", effect: { do: "hang" }, after: 1, times: 1000 });
  const killed = fixture.spawn("killed");
  await waitFor(() => filesIn(fixture.workDir).some((path) => path.endsWith(".upload")));
  killed.child.kill("SIGKILL");
  await killed.ended;
  fixture.hub.clearFailures();
  assert.ok(filesIn(fixture.workDir).some((path) => path.endsWith(".mp4")), "killed with the copy on its disk");
  await once("back");
  assert.deepEqual(filesIn(fixture.workDir).map(ending).sort(), ["lock", "upload"], "the copy is gone");

  await fixture.database.admin`
    update public.video_replicas set lease_expires_at = now() - interval '1 second' where lease_token is not null`;
  await fixture.database.serviceRole`select public.sweep()`;
  await fixture.database.admin`update public.video_replicas set run_at = now()`;
  const elsewhere = fixture.spawn("elsewhere", { env: { RUNNER_WORK_DIR: `${fixture.workDir}-2` } });
  await elsewhere.saw("replica:repaired");
  await once("here");
  assert.deepEqual(filesIn(fixture.workDir), []);
});

Deno.test("no pg_cron: a killed runner's job → rescued by another runner", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const { sql, admin, serviceRole } = fixture.database;
  await admin`delete from cron.job where true`;
  await sql`update keepstream.error_classes set base_seconds = 1 where name = 'lease_expired'`;
  const medium = fixture.origin.media.find((medium) => medium.name === "mp4")!;
  const id = await fixture.enqueue({ mal_id: 1, episode: 1, provider: "catalogue", video_url: await medium.url() });
  await serviceRole`select from public.claim_pending_videos(1, 'killed')`;
  await admin`update public.video_queue set lease_expires_at = now() - interval '1 second' where id = ${id}`;
  await admin`update keepstream.event_retention set swept_at = now() - interval '1 hour' where true`;
  const runner = fixture.spawn("r1");
  await fixture.until(id, (row) => row.status === "ready");
  assert.equal((await runner.saw("queue:swept")).rescued, 1);
  const jobs = await sql`select jobname from cron.job order by jobname`;
  assert.deepEqual(jobs.map((job) => job["jobname"]), ["keepstream-cron-history", "keepstream-sweep"]);
  const response = await fetch(`http://127.0.0.1:${(await runner.saw("runner:started")).port}/status`);
  const { queue } = await response.json();
  assert.ok(queue.sweep_age_seconds < 60, `${queue.sweep_age_seconds}`);
});

function filesIn(dir: string): string[] {
  return [...Deno.readDirSync(dir)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesIn(`${dir}/${name}`) : [`${dir}/${name}`]
  ).sort();
}

const ending = (path: string) => path.split(/[./]/).at(-1)!;

async function waitFor(done: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; !done();) {
    if (Date.now() > end) throw new Error("gave up waiting");
    await new Promise((next) => setTimeout(next, 20));
  }
}

Deno.test("cleanup: the queue is unavailable → young directories are kept", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const name = `job-${crypto.randomUUID()}`;
  await Deno.mkdir(`${fixture.workDir}/${name}`, { recursive: true });
  const runner = fixture.spawn("away", { args: ["run-once"], env: { SUPABASE_URL: "http://127.0.0.1:1" } });
  assert.equal((await runner.ended).code, 1);
  assert.deepEqual([...Deno.readDirSync(fixture.workDir)].map((entry) => entry.name), [name]);
});

Deno.test("no account accepts writes → one job fails, others keep their attempts", async () => {
  await using fixture = await startRunnerFixture({ accounts: 2 });
  fixture.hub.fail("abuse", { times: 1000 });
  const medium = fixture.origin.media.find((medium) => medium.name === "mp4")!;
  const video = { mal_id: 1, provider: "catalogue", resolution: "720p", video_url: await medium.url() };
  const first = await fixture.enqueue({ ...video, episode: 1 });
  const runner = fixture.spawn("r1", { env: { RUNNER_CONCURRENCY: "1" } });
  await fixture.until(first, (row) => row.status === "failed");
  const second = await fixture.enqueue({ ...video, episode: 2 });
  await runner.saw("claims:paused", (line) => String(line.reason).includes("storage"));
  await new Promise((next) => setTimeout(next, 1000)); // three polls
  const row = await fixture.job(second);
  assert.deepEqual([row.status, row.attempts], ["pending", 0]);
  runner.child.kill("SIGTERM");
  assert.equal((await runner.ended).code, 0);
});
