/** SIGTERM in phases: jobs before their upload are released immediately, uploads get some time, a second signal forces. */
import assert from "node:assert/strict";
import { startRunnerFixture } from "../../dev/testing/runner_fixture.ts";
import { type FaultProxy, startFaultProxy, type Verdict } from "./fault_proxy.ts";
import { startMediaHost } from "./media_host.ts";

/** A runner with a job whose last commit is delayed, and a job in a slow download. */
async function midway(env: Readonly<Record<string, string>>, { accounts = 1 } = {}) {
  await using stack = new AsyncDisposableStack();
  const quick = stack.use(await startMediaHost({ seconds: 0.3 }));
  const slow = stack.use(await startMediaHost({ seconds: 60 }));
  const fixture = stack.use(await startRunnerFixture({ accounts }));
  const [arrived, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const proxy: FaultProxy = stack.use(startFaultProxy({
    upstream: fixture.hub.url,
    rewrite: (text) => text.replaceAll(fixture.hub.url, proxy.url),
    nameOf: (_, path) => path.includes("/commit/") && path.includes(`/user${accounts}/`) ? "held" : "other",
    async strike({ name, when }): Promise<Verdict> {
      if (name !== "held" || when !== "before") return "pass";
      arrived.resolve();
      await released.promise;
      return "pass";
    },
  }));
  stack.defer(released.resolve);
  const allowed = { DEV_ALLOWED_ORIGINS: `${quick.url},${slow.url}`, RUNNER_EXTRAS: "off", HF_ENDPOINT: proxy.url };
  const runner = fixture.spawn("r1", { env: { ...allowed, ...env } });
  const uploading = await fixture.enqueue({ mal_id: 1, episode: 1, provider: "catalogue", ...quick.video(0) });
  const downloading = await fixture.enqueue({ mal_id: 1, episode: 2, provider: "catalogue", ...slow.video(2) });
  await fixture.until(downloading, (row) => Number(row.progress?.bytes_done ?? 0) > 0);
  await arrived.promise;
  const owned = stack.move();
  return {
    fixture,
    runner,
    uploading,
    downloading,
    letCommit: released.resolve,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

Deno.test("SIGTERM: a download → released; an upload finishes → ready, exit 0", async () => {
  await using scene = await midway({ RUNNER_STOP_SECONDS: "30" });
  const { fixture, runner } = scene;
  runner.child.kill("SIGTERM");
  const given = await fixture.until(scene.downloading, (row) => row.status === "pending");
  assert.deepEqual([given.attempts, given.lease_owner], [0, null]);
  assert.equal((await fixture.job(scene.uploading)).status, "uploading", "still at it");
  scene.letCommit();
  assert.equal((await runner.ended).code, 0);
  assert.equal((await fixture.job(scene.uploading)).status, "ready");
});

Deno.test("SIGTERM: an upload exceeds its time → released, attempt kept, exit 0", async () => {
  await using scene = await midway({ RUNNER_STOP_SECONDS: "1" });
  scene.runner.child.kill("SIGTERM");
  assert.equal((await scene.runner.ended).code, 0);
  for (const id of [scene.uploading, scene.downloading]) {
    const row = await scene.fixture.job(id);
    assert.deepEqual([row.status, row.attempts, row.lease_owner], ["pending", 0, null]);
  }
  const released = scene.runner.lines.filter((line) => line.includes('"job:released"'));
  assert.equal(released.length, 2);
});

Deno.test("SIGTERM during an upload, then SIGINT → exit 130, the lease expires", async () => {
  await using scene = await midway({ RUNNER_STOP_SECONDS: "600" });
  scene.runner.child.kill("SIGTERM");
  await scene.fixture.until(scene.downloading, (row) => row.status === "pending");
  scene.runner.child.kill("SIGINT");
  assert.equal((await scene.runner.ended).code, 130);
  assert.equal((await scene.fixture.job(scene.uploading)).status, "uploading");
});

Deno.test("SIGTERM: no new claim, /health 503 until the end", async () => {
  await using scene = await midway({ RUNNER_STOP_SECONDS: "600", RUNNER_CONCURRENCY: "3" });
  const { port } = await scene.runner.saw("runner:started");
  scene.runner.child.kill("SIGTERM");
  await scene.fixture.until(scene.downloading, (row) => row.status === "pending");
  const health = await fetch(`http://127.0.0.1:${port}/health`);
  assert.deepEqual([health.status, (await health.json()).status], [503, "stopping"]);
  await new Promise((next) => setTimeout(next, 1000)); // three polls
  assert.equal((await scene.fixture.job(scene.downloading)).status, "pending");
});

Deno.test("SIGTERM after the first copy → the second one finishes, no repair left", async () => {
  await using scene = await midway({ RUNNER_STOP_SECONDS: "30" }, { accounts: 2 });
  const { fixture, runner } = scene;
  await fixture.until(scene.uploading, (row) => row.status === "ready");
  runner.child.kill("SIGTERM");
  await fixture.until(scene.downloading, (row) => row.status === "pending");
  scene.letCommit();
  assert.equal((await runner.ended).code, 0);
  const copies = await fixture.database.sql`select state from public.video_replicas`;
  assert.deepEqual(copies.map((copy) => copy.state), ["verified", "verified"], runner.lines.join("\n"));
});

Deno.test("SIGTERM during an endless request → the runner exits nevertheless", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const runner = fixture.spawn("r1");
  const { port } = await runner.saw("runner:started");
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  await conn.write(new TextEncoder().encode("POST /trigger HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{"));
  await fetch(`http://127.0.0.1:${port}/health`).then((response) => response.body?.cancel()); // it has been accepted
  runner.child.kill("SIGTERM");
  assert.equal((await runner.ended).code, 0);
  const response = await new Response(conn.readable).text().catch(() => "the connection broke");
  assert.doesNotMatch(response, /408/, "it waited until the request's own time was over");
});
