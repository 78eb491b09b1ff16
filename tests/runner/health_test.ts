/** Health and status routes of a running runner. */
import assert from "node:assert/strict";
import { type RunnerFixture, startRunnerFixture } from "../../dev/testing/runner_fixture.ts";

/** Response of /health with this environment. */
async function healthOf(fixture: RunnerFixture, env: Record<string, string>) {
  const runner = fixture.spawn("r1", { env });
  const { port } = await runner.saw("runner:started");
  const live = await fetch(`http://127.0.0.1:${port}/health/live`);
  assert.deepEqual([live.status, await live.json()], [200, { status: "ok" }]);
  const response = await fetch(`http://127.0.0.1:${port}/health`);
  const body = await response.json();
  runner.child.kill("SIGKILL");
  await runner.ended;
  return { code: response.status, ...body as { storage_accounts: number; reason?: string } };
}

Deno.test("GET /health: the queue refuses the key, is unreachable → 503, reason", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const refused = await healthOf(fixture, { SUPABASE_SECRET_KEYS: '{"default":"sb_secret_wrong"}' });
  assert.deepEqual([refused.code, refused.storage_accounts], [503, 1]);
  assert.match(refused.reason!, /^queue: it refuses this key/);
  const publishable = JSON.stringify({ default: fixture.publishableKey });
  assert.match((await healthOf(fixture, { SUPABASE_SECRET_KEYS: publishable })).reason!, /^queue: it refuses this key/);
  assert.match(
    (await healthOf(fixture, { SUPABASE_URL: "http://127.0.0.1:1" })).reason!,
    /^queue: it cannot be reached$/,
  );
});

Deno.test("GET /health: every token refused, no account, no Hub → 503; one → 200", async () => {
  await using fixture = await startRunnerFixture({ accounts: 2 });
  const wrong = { HF_TOKEN_STORAGE_1: "hf_wrong" };
  const none = await healthOf(fixture, { ...wrong, HF_TOKEN_STORAGE_2: "hf_wrong" });
  assert.deepEqual([none.code, none.storage_accounts], [503, 2]);
  assert.equal(none.reason, "storage: no target can be written to");
  assert.equal((await healthOf(fixture, { HF_ENDPOINT: "http://127.0.0.1:1" })).code, 503);
  const noAccount = await healthOf(fixture, { HF_STORAGE_ACCOUNT_COUNT: "0" });
  assert.deepEqual([noAccount.code, noAccount.storage_accounts], [503, 0]);
  const one = await healthOf(fixture, wrong);
  assert.deepEqual([one.code, one.reason], [200, undefined]);
});

Deno.test("GET /status: counts by status, archived; HEAD → as GET", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const video = { mal_id: 1, provider: "catalogue", resolution: "720p", video_url: "http://127.0.0.1:1/a.mp4" };
  const medium = fixture.origin.media.find((medium) => medium.name === "mp4")!;
  const ready = await fixture.enqueue({ ...video, episode: 1, video_url: await medium.url() });
  const once = fixture.spawn("once", { args: ["run-once"] });
  await once.ended;
  assert.equal((await fixture.job(ready)).status, "ready");
  const ids = await Promise.all([2, 3, 4].map((episode) => fixture.enqueue({ ...video, episode })));
  await fixture.database.serviceRole`select public.cancel_video(${ids[0]!})`;
  await fixture.database.sql`update public.video_queue set run_at = now() + interval '1 hour' where status = 'pending'`;
  const runner = fixture.spawn();
  const { port } = await runner.saw("runner:started");
  const status = await (await fetch(`http://127.0.0.1:${port}/status`)).json();
  const { pending, downloading, uploading, ready: done, failed } = status.queue;
  assert.deepEqual({ pending, downloading, uploading, ready: done, failed }, {
    ...{ pending: 2, downloading: 0, uploading: 0, ready: 1, failed: 1 },
  });
  assert.equal(status.archived, 1);
  for (const path of ["/", "/health", "/health/live", "/status", "/metrics", "/trigger", "/nothing"]) {
    const [get, head] = await Promise.all(["GET", "HEAD"].map(async (method) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
      const headers = new Map([...response.headers].filter(([name]) => name !== "date" && name !== "content-length"));
      return {
        status: response.status,
        headers,
        length: response.headers.get("content-length"),
        body: await response.text(),
      };
    }));
    assert.deepEqual([head!.status, head!.headers, head!.body], [get!.status, get!.headers, ""], path);
    assert.ok(head!.length === null || head!.length === get!.length, path);
  }
});

Deno.test("POST /trigger: no RUNNER_WEBHOOK_SECRET → HF_FILE_SALT, only then", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const salt = fixture.env.HF_FILE_SALT!;
  const secret = fixture.env.RUNNER_WEBHOOK_SECRET!;
  for (
    const [set, given, expected] of [["", salt, 202], ["", secret, 401], [secret, secret, 202], [
      secret,
      salt,
      401,
    ]] as const
  ) {
    const runner = fixture.spawn("r1", { env: { RUNNER_WEBHOOK_SECRET: set } });
    const { port } = await runner.saw("runner:started");
    const response = await fetch(`http://127.0.0.1:${port}/trigger`, {
      method: "POST",
      headers: { authorization: `Bearer ${given}` },
    });
    assert.equal(response.status, expected, `${set === "" ? "none" : "one"} set`);
    await response.body?.cancel();
    runner.child.kill("SIGKILL");
    await runner.ended;
  }
});
