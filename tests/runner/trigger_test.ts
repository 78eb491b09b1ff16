/** Requests from strangers to a running runner, over real HTTP: nothing in them is trusted, shown or stored. */
import assert from "node:assert/strict";
import { signWebhook } from "../../core/webhook.ts";
import { type RunnerFixture, startRunnerFixture } from "../../dev/testing/runner_fixture.ts";

async function startWithHttp(fixture: RunnerFixture) {
  const runner = fixture.spawn("r1", { env: { RUNNER_EXTRAS: "off" } });
  const { port } = await runner.saw("runner:started");
  const url = `http://127.0.0.1:${port}`;
  const secret = fixture.env.RUNNER_WEBHOOK_SECRET!;
  const post = (
    body: string | ReadableStream,
    headers: Record<string, string> = { authorization: `Bearer ${secret}` },
  ) => fetch(`${url}/trigger`, { method: "POST", body, headers });
  return { runner, url, secret, post };
}

const VIDEO = { mal_id: 1, episode: 1, provider: "catalogue", resolution: "720p" };

Deno.test("POST /trigger: a hostile video_url → dead letter, nothing fetched", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const { post } = await startWithHttp(fixture);
  let calls = 0;
  await using canary = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, () => {
    calls++;
    return new Response("secret of the private network");
  });
  const hostile = [
    "http://169.254.169.254/latest/meta-data",
    `http://127.0.0.1:${canary.addr.port}/private`,
    "http://[::ffff:127.0.0.1]/",
    "http://0x7f.1/",
    `http://user:pass@localhost:${canary.addr.port}/`,
  ];
  for (const [i, video_url] of hostile.entries()) {
    const response = await post(JSON.stringify({ ...VIDEO, episode: i + 1, video_url }));
    assert.equal(response.status, 202, await response.clone().text());
    const { job } = await response.json();
    const row = await fixture.until(job.id, (row) => row.terminal_at !== null);
    assert.equal(row.error_class, "policy_denied", video_url);
    assert.ok(!/pass@/.test(row.error_message ?? ""), row.error_message!);
  }
  assert.equal(calls, 0);
  for (
    const video_url of ["--all-proxy=http://x", "javascript:alert(1)", "file:///etc/passwd", "http://a.test/\n  out=x"]
  ) {
    const response = await post(JSON.stringify({ ...VIDEO, video_url }));
    assert.equal(response.status, 400, video_url);
    await response.body?.cancel();
  }
});

Deno.test("source: a zip, a page, a truncated file as .mp4 → never uploaded", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const bodies: Record<string, BodyInit> = {
    "/zip.mp4": new Uint8Array([0x50, 0x4b, 3, 4, ...new Uint8Array(4000)]),
    "/page.mp4": "<!doctype html><title>Just a moment…</title>",
    "/cut.mp4": (await Deno.readFile(fixture.origin.media[0]!.path)).slice(0, 300_000),
  };
  await using host = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    return new Response(bodies[new URL(request.url).pathname]!, { headers: { "content-type": "video/mp4" } });
  });
  fixture.spawn("r1", { env: { DEV_ALLOWED_ORIGINS: `http://127.0.0.1:${host.addr.port}` } });
  for (const [i, path] of Object.keys(bodies).entries()) {
    const id = await fixture.enqueue({
      ...VIDEO,
      episode: i + 1,
      video_url: `http://127.0.0.1:${host.addr.port}${path}`,
    });
    const row = await fixture.until(id, (row) => row.terminal_at !== null);
    assert.equal(row.error_class, "unsupported", path);
  }
  assert.deepEqual(fixture.hub.calls.filter((call) => call.at === "commit" || call.at.startsWith("upload")), []);
});

Deno.test("POST /trigger: 1 MB, not JSON, __proto__, unsigned, old, replayed", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1 });
  const { post, secret } = await startWithHttp(fixture);
  const status = async (response: Promise<Response>) => {
    const { status, body } = await response;
    await body?.cancel();
    return status;
  };
  const megabyte = new Uint8Array(1 << 20).fill(0x20);
  assert.equal(await status(post(" ".repeat(1 << 20))), 413);
  assert.equal(await status(post(new Response(megabyte).body!)), 413);
  assert.equal(await status(post("{")), 400);
  assert.equal(await status(post('{"__proto__":{"admin":true},"mal_id":1}')), 400);
  assert.equal(await status(post("{}", {})), 401);
  const signed = async (timestamp: number, id: string = crypto.randomUUID(), body = "{}") => ({
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": await signWebhook({ id, timestamp, body }, secret),
  });
  const now = Math.floor(Date.now() / 1000);
  assert.equal(await status(post("{}", await signed(now - 400))), 401);
  assert.equal(await status(post("{}", await signed(now + 400))), 401);
  assert.equal(await status(post("[]", await signed(now))), 401, "signed for another body");
  const once = await signed(now, "msg_once");
  assert.equal(await status(post("{}", once)), 202);
  assert.equal(await status(post("{}", once)), 200);
  const [queue] = await fixture.database.sql`select count(*)::int as rows from public.video_queue`;
  assert.equal(queue!.rows, 0);
});

Deno.test("status, metrics, health, page, log: after failures → no secrets", async () => {
  await using fixture = await startRunnerFixture({ accounts: 2 });
  fixture.hub.fail("abuse", { times: 100 });
  const { runner, url, secret } = await startWithHttp(fixture);
  const medium = fixture.origin.media.find((medium) => medium.name === "mp4")!;
  const signed = await medium.url();
  const stored = await fixture.enqueue({ ...VIDEO, episode: 1, video_url: signed });
  const refused = await fixture.enqueue({
    ...VIDEO,
    episode: 2,
    video_url: `${fixture.origin.url}/files/nothing.mp4?token=source-token-of-the-test&x=hf_abcdefghijklmnop`,
  });
  await fixture.until(stored, (row) => row.status === "failed");
  await fixture.until(refused, (row) => row.status === "failed");
  const secrets = [
    ...Object.entries(fixture.env).filter(([name]) => /TOKEN|SECRET|SALT|KEY/.test(name)).map(([, value]) => value),
    JSON.parse(fixture.env.SUPABASE_SECRET_KEYS!).default as string,
    "source-token-of-the-test",
    "hf_abcdefghijklmnop",
    new URL(signed).searchParams.get("token")!,
  ];
  assert.ok(secrets.length >= 9);
  const texts = [runner.lines.join("\n")];
  for (const path of ["/", "/health", "/status", "/metrics", "/nothing"]) {
    for (const authorization of ["", `Bearer ${secret}`, "Bearer wrong"]) {
      texts.push(await (await fetch(`${url}${path}`, { headers: { authorization } })).text());
    }
  }
  const operator = texts.find((text) => text.includes('"message"'))!;
  assert.ok(operator.includes("flagged"), "an operator reads why");
  const open = await (await fetch(`${url}/status`)).text();
  assert.ok(!open.includes("flagged") && !open.includes("hub:user1"), "only the operator sees them");
  for (const text of texts) {
    for (const one of secrets) assert.ok(!text.includes(one), `${one} in ${text.slice(0, 500)}`);
  }
});
