import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Line } from "../dev/emulators/origin/origin.ts";
import { type QueueRow, type RunnerFixture, startRunnerFixture } from "../dev/testing/runner_fixture.ts";

Deno.test("runner: MP4 and HLS sources → fast-start MP4s on every account, ready", async () => {
  await using fixture = await startRunnerFixture();
  const runner = fixture.spawn();
  const [mp4, hls] = await Promise.all(fixture.origin.media.map(async (medium, i) =>
    await fixture.enqueue({
      mal_id: 1,
      episode: i + 1,
      provider: "catalogue",
      video_url: await medium.url(),
      embed_url: medium.embedUrl,
      resolution: medium.resolution,
    })
  ));
  for (const id of [mp4!, hls!]) {
    const row = await fixture.until(id, (row) => ["ready", "failed"].includes(row.status));
    assert.equal(row.status, "ready", row.error_message ?? "");
    await runner.saw("job:finished", (line) => line.id === id);
    const archive = await archiveOf(fixture, id);
    assert.equal(archive.replicas.length, 2);
    for (const replica of archive.replicas) {
      assert.equal(replica.state, "verified");
      const bytes = await downloadCopy(fixture, replica);
      assert.equal(createHash("sha256").update(bytes).digest("hex"), archive.sha256);
      const boxes = new TextDecoder("latin1").decode(bytes);
      assert.ok(boxes.indexOf("moov") < boxes.indexOf("mdat"), "moov is in front");
    }
    assert.ok(Math.abs(archive.duration_seconds - 24) < 0.5);
    for (
      const [ending, start] of [[".poster.jpg", "\xff\xd8"], [".sprite.jpg", "\xff\xd8"], [".sprite.vtt", "WEBVTT"]]
    ) {
      const found = await Promise.all(archive.replicas.map(async ({ repo, path }) => {
        const bytes = await downloadCopy(fixture, { repo, path: path.replace(".mp4", ending!) }).catch(() =>
          new Uint8Array()
        );
        return new TextDecoder("latin1").decode(bytes);
      }));
      assert.equal(
        found.filter((text) => text.startsWith(start!)).length,
        2,
        `${ending}\n${runner.lines.join("\n")}`,
      );
    }
  }
  runner.child.kill("SIGTERM");
  assert.equal((await runner.ended).code, 0);
  assert.ok(runner.lines.every((line) => !/hf_token|token=/.test(line)), "no secret in the log");
  const left = [...Deno.readDirSync(fixture.workDir)];
  assert.deepEqual(left, []);
});

Deno.test("runner: SIGKILL during a download → another runner resumes", async () => {
  await using fixture = await startRunnerFixture({ line: SLOW, env: { RUNNER_LEASE_SECONDS: "10" } });
  const id = await fixture.enqueue({ ...await video(fixture, "hls"), episode: 5 });
  const first = fixture.spawn("r1");
  await fixture.until(id, (row) => Number(row.progress?.bytes_done ?? 0) > 500_000);
  first.child.kill("SIGKILL");
  await first.ended;
  const second = fixture.spawn("r2");
  await sweepUntil(fixture, id, (row) => row.lease_owner?.startsWith("r2#") || row.status === "ready");
  const resumed = await second.saw("job:resumed");
  assert.ok(Number(resumed.bytes) > 0);
  const row = await fixture.until(id, (row) => row.status === "ready" || row.terminal_at !== null);
  assert.equal(row.status, "ready", row.error_message ?? "");
});

Deno.test("runner: SIGTERM during a download → pending, no attempt used", async () => {
  await using fixture = await startRunnerFixture({ line: SLOW });
  const id = await fixture.enqueue({ ...await video(fixture, "mp4"), episode: 6 });
  const first = fixture.spawn("r1");
  await fixture.until(id, (row) => Number(row.progress?.bytes_done ?? 0) > 100_000);
  first.child.kill("SIGTERM");
  assert.equal((await first.ended).code, 0);
  const row = await fixture.job(id);
  assert.deepEqual([row.status, row.attempts, row.lease_owner], ["pending", 0, null]);
  const second = fixture.spawn("r2");
  assert.equal((await second.saw("job:resumed")).from, "aria2");
  await fixture.until(id, (row) => row.status === "ready");
});

Deno.test("runner: a job is cancelled → failed (cancelled) at the next heartbeat", async () => {
  await using fixture = await startRunnerFixture({ line: SLOW });
  const id = await fixture.enqueue({ ...await video(fixture, "mp4"), episode: 7 });
  const runner = fixture.spawn();
  await fixture.until(id, (row) => Number(row.progress?.bytes_done ?? 0) > 0);
  await fixture.database.serviceRole`select public.cancel_video(${id})`;
  const row = await fixture.until(id, (row) => row.status === "failed");
  assert.equal(row.error_class, "cancelled");
  assert.notEqual(row.terminal_at, null);
  await runner.saw("job:failed", (line) => line.code === "cancelled");
});

Deno.test("runner: a lease is taken → work stops, nothing is written", async () => {
  await using fixture = await startRunnerFixture({ line: SLOW });
  const id = await fixture.enqueue({ ...await video(fixture, "mp4"), episode: 8 });
  const runner = fixture.spawn();
  await fixture.until(id, (row) => Number(row.progress?.bytes_done ?? 0) > 0);
  await fixture.database.sql`
    update public.video_queue set lease_token = gen_random_uuid(), lease_owner = 'thief', lease_epoch = lease_epoch + 1,
      lease_expires_at = now() + interval '1 hour' where id = ${id}`;
  await runner.saw("job:lost");
  const row = await fixture.job(id);
  assert.deepEqual([row.status, row.lease_owner], ["downloading", "thief"]);
  assert.equal(fixture.hub.calls.filter((call) => call.method === "POST" && call.path.includes("/commit/")).length, 0);
});

Deno.test("runner: the first URL leads to a web page → next candidate archived", async () => {
  await using fixture = await startRunnerFixture();
  const good = await video(fixture, "mp4");
  const id = await fixture.enqueue({
    ...good,
    episode: 9,
    video_url: `${fixture.origin.url}/embed/hls?x=.mp4`,
    embed_url: null,
    kind: "mp4",
  });
  await fixture.enqueue({ ...good, episode: 9 });
  const runner = fixture.spawn();
  const row = await fixture.until(id, (row) => row.status === "ready" || row.terminal_at !== null);
  assert.equal(row.status, "ready", row.error_message ?? "");
  await runner.saw("job:failed", (line) => line.code === "unsupported");
});

Deno.test("runner: a hostile URL → dead letter, no secret in row, log, /status", async () => {
  await using fixture = await startRunnerFixture();
  const id = await fixture.enqueue({
    mal_id: 1,
    episode: 10,
    provider: "catalogue",
    video_url: "http://169.254.169.254/latest/meta-data?token=hf_verysecrettoken",
    resolution: "720p",
  });
  const runner = fixture.spawn();
  const row = await fixture.until(id, (row) => row.terminal_at !== null);
  assert.equal(row.error_class, "policy_denied");
  const port = (await runner.saw("runner:started")).port;
  const status = await (await fetch(`http://127.0.0.1:${port}/status`)).text();
  for (const text of [row.error_message ?? "", status, runner.lines.join("\n")]) {
    assert.ok(!text.includes("hf_very"), text);
  }
});

Deno.test("run-once: the queue is drained → exit 0, without a server", async () => {
  await using fixture = await startRunnerFixture();
  const id = await fixture.enqueue({ ...await video(fixture, "hls"), episode: 11 });
  const runner = fixture.spawn("once", { args: ["run-once"] });
  assert.equal((await runner.ended).code, 0);
  assert.equal((await fixture.job(id)).status, "ready");
});

Deno.test("runner: missing variables → one message with all of them, exit 1", async () => {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", new URL("main.ts", import.meta.url).pathname],
    env: {
      SUPABASE_URL: "https://project.supabase.co",
      SUPABASE_SECRET_KEYS: "",
      HF_FILE_SALT: "",
      DEV_ALLOWED_ORIGINS: "http://127.0.0.1:1",
    },
    stdout: "piped",
    stderr: "piped",
  }).output();
  assert.equal(output.code, 1);
  const text = new TextDecoder().decode(output.stderr);
  for (const name of ["HF_FILE_SALT", "SUPABASE_SECRET_KEYS", "DEV_ALLOWED_ORIGINS"]) {
    assert.match(text, new RegExp(name));
  }
  assert.doesNotMatch(text, /at file:/);
});

const SLOW: Line = { connectMs: 0, latencyMs: 5, bytesPerSecond: 120_000 };

async function video(fixture: RunnerFixture, name: "mp4" | "hls"): Promise<Record<string, unknown>> {
  const medium = fixture.origin.media.find((medium) => medium.name === name)!;
  const { embedUrl, resolution } = medium;
  return { mal_id: 1, provider: "catalogue", video_url: await medium.url(), embed_url: embedUrl, resolution };
}

/** Sweeps as pg_cron does, as often as necessary. */
async function sweepUntil(fixture: RunnerFixture, id: string, done: (row: QueueRow) => boolean): Promise<void> {
  for (let i = 0; i < 300; i++) {
    await fixture.database.sql`select public.sweep()`;
    await fixture.database.sql`update public.video_queue set run_at = now() where id = ${id} and status = 'failed'`;
    if (done(await fixture.job(id))) return;
    await new Promise((next) => setTimeout(next, 200));
  }
  throw new Error(`the sweep brought nothing about: ${JSON.stringify(await fixture.job(id))}`);
}

type Archive = {
  sha256: string;
  size_bytes: number;
  duration_seconds: number;
  replicas: { target: string; repo: string; path: string; state: string }[];
};

async function archiveOf(fixture: RunnerFixture, queueId: string): Promise<Archive> {
  const [row] = await fixture.database.sql<Archive[]>`
    select sha256, size_bytes::float8 as size_bytes, duration_seconds,
      (select json_agg(r) from (select target, repo, path, state from public.video_replicas v where v.store_id = s.id) r) as replicas
    from public.video_store s where queue_id = ${queueId}`;
  return row!;
}

async function downloadCopy(fixture: RunnerFixture, replica: { repo: string; path: string }): Promise<Uint8Array> {
  const owner = replica.repo.split("/")[0]!;
  const response = await fetch(`${fixture.hub.url}/datasets/${replica.repo}/resolve/main/${replica.path}`, {
    headers: { authorization: `Bearer hf_token${owner.slice("user".length)}` },
  });
  assert.equal(response.status, 200);
  return await response.bytes();
}
