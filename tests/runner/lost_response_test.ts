/** The response to a claim is lost: the job does not wait for its lease, keeps its attempt, and is not worked on twice. */
import assert from "node:assert/strict";
import { startGateway } from "../../dev/emulators/supabase/gateway.ts";
import { makeProjectKeys } from "../../dev/emulators/supabase/keys.ts";
import { createTestDatabase } from "../../dev/testing/test_database.ts";
import { createEvents } from "../../runner/events.ts";
import { startClaimLoop } from "../../runner/loop/claim_loop.ts";
import type { Job } from "../../runner/queue/job.ts";
import { createQueue } from "../../runner/queue/queue.ts";
import { type Call, startFaultProxy, type Verdict } from "./fault_proxy.ts";

/** A queue with two jobs, behind a proxy that applies `strike` to the runner's calls. */
async function startQueue(strike: (call: Call) => Verdict) {
  const database = await createTestDatabase();
  const keys = makeProjectKeys();
  const gateway = await startGateway({ port: 0, databaseUrl: database.authenticatorUrl, keys });
  const proxy = startFaultProxy({ upstream: gateway.url, nameOf: (_, path) => path.split("/").at(-1)!, strike });
  await database
    .serviceRole`insert into public.providers (name, recipe, rights) values ('catalogue', 'page', 'own work')`;
  for (const episode of [1, 2]) {
    await database.serviceRole`
      select public.enqueue_video(1, ${episode}, 'catalogue', ${`https://cdn.test/${episode}.mp4`}, '720p')`;
  }
  const done: Job[] = [];
  const client = (worker: string) => createQueue({ url: proxy.url, key: keys.secret, worker, leaseSeconds: 120 });
  const run = (worker = "r1") => {
    const queue = client(worker);
    return startClaimLoop({
      queue,
      events: createEvents(),
      concurrency: 1,
      leaseSeconds: 120,
      pollSeconds: 0.05,
      once: true,
      async runJob(job) {
        done.push(job);
        await queue.report(job, "failed", { code: "drm", message: "seen", candidateId: null });
      },
    });
  };
  const rows = () =>
    database.sql<{ episode: number; status: string; attempts: number; lease_epoch: number }[]>`
      select episode, status, attempts, lease_epoch from public.video_queue order by episode`;
  return {
    client,
    run,
    done,
    rows,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await gateway.stop();
      await database[Symbol.asyncDispose]();
    },
  };
}

/** Drops the n-th claim, counted from 1. */
function onClaim(n: number, verdict: Verdict): (call: Call) => Verdict {
  let claims = 0;
  return (call) => call.name === "claim_pending_videos" && call.when === "before" && ++claims === n ? verdict : "pass";
}

for (
  const [what, n] of [["the first claim, on a new connection", 1], [
    "the second, on a kept one, which fetch repeats",
    2,
  ]] as const
) {
  Deno.test(`claim: the response to ${what}, is lost → each job runs once, no attempt lost`, async () => {
    await using queue = await startQueue(onClaim(n, "lose_response"));
    await queue.run().drained;
    assert.deepEqual(queue.done.map((job) => job.episode).sort(), [1, 2]);
    const rows = await queue.rows();
    assert.deepEqual(rows.map((row) => [row.status, row.attempts]), [["failed", 1], ["failed", 1]]);
    assert.equal(rows.reduce((sum, row) => sum + row.lease_epoch, 0), 3, "one lease was released");
  });
}

Deno.test("claim: the request is lost → repeated", async () => {
  await using queue = await startQueue(onClaim(1, "lose"));
  await queue.run().drained;
  assert.deepEqual((await queue.rows()).map((row) => row.lease_epoch), [1, 1]);
});

Deno.test("claim: another process with the same name → its lease is not released", async () => {
  await using queue = await startQueue(() => "pass");
  const [held] = await queue.client("same").claim(1);
  await queue.run("same").drained;
  assert.deepEqual(queue.done.map((job) => job.episode), [3 - held!.episode]);
  assert.deepEqual((await queue.rows()).map((row) => row.lease_epoch), [1, 1]);
});

Deno.test("run-once: the queue never responds → an error, not an empty queue", async () => {
  await using queue = await startQueue(() => ({ status: 503, body: '{"message":"away"}' }));
  await assert.rejects(queue.run().drained, { name: "RpcError", isUnavailable: true });
});
