import assert from "node:assert/strict";
import { signDenyList } from "../core/deny_list.ts";
import { parseSigningKeys } from "../core/link.ts";
import { unwrap } from "../core/result.ts";
import { KEYS, type ProxyFixture, send, startProxyFixture, text } from "../dev/testing/proxy_fixture.ts";
import { startWorker } from "../dev/emulators/workerd/workerd.ts";

const SECRETS = ["hf_alice", "hf_bob", "s3-secret", "folder-token"];

/** A Worker whose storage and API the test controls. */
async function startFull(): Promise<ProxyFixture> {
  const proxy = await startProxyFixture({
    vars: (origin) => ({
      PUBLIC_API_URL: `${origin}/functions/v1`,
      HF_ENDPOINT: `${origin}/hub`,
      HF_STORAGE_USERNAME_1: "alice",
      HF_TOKEN_STORAGE_1: "hf_alice",
      HF_STORAGE_USERNAME_2: "bob",
      HF_TOKEN_STORAGE_2: "hf_bob",
      S3_ENDPOINT: `${origin}/s3`,
      S3_BUCKET: "bucket",
      S3_ACCESS_KEY_ID: "s3-key",
      S3_SECRET_ACCESS_KEY: "s3-secret",
      STORAGE_FOLDER_URL: `${origin}/archive`,
      STORAGE_FOLDER_TOKEN: "folder-token",
    }),
  });
  proxy.route("/hub/api/whoami-v2", ({ headers }, response) => {
    const known = ["Bearer hf_alice", "Bearer hf_bob"].includes(headers.get("authorization") ?? "");
    send(response, known ? 200 : 401, { "content-type": "application/json" }, "{}");
  });
  proxy.route("/s3/bucket/", text("<Error><Code>NoSuchKey</Code></Error>", "application/xml", 404));
  proxy.route("/archive/", ({ headers }, response) => {
    send(response, headers.get("authorization") === "Bearer folder-token" ? 404 : 401, {}, "");
  });
  await publish(proxy, KEYS);
  return proxy;
}

async function publish(proxy: ProxyFixture, keys: typeof KEYS, age = 0): Promise<void> {
  const list = { issuedAt: Math.floor(Date.now() / 1000) - age, titles: [], episodes: [] };
  proxy.route(TAKEDOWNS, text(await signDenyList(list, keys), "application/json"));
}

async function deep(proxy: ProxyFixture): Promise<{ status: number; reasons: string[] }> {
  const response = await fetch(`${proxy.worker.url}/health?deep=1`);
  const body = await response.text();
  for (const secret of SECRETS) assert.ok(!body.includes(secret), secret);
  assert.ok(!body.includes("127.0.0.1"), "no URL");
  return { status: response.status, reasons: JSON.parse(body).reasons ?? [] };
}

Deno.test("health: all targets respond → 200, cached between probes", async () => {
  await using proxy = await startFull();
  for (let i = 0; i < 5; i++) assert.deepEqual(await deep(proxy), { status: 200, reasons: [] });
  assert.deepEqual(proxy.seen.map(({ target }) => target).sort(), [
    "/archive/keepstream-health-check",
    "/functions/v1/streaming/takedowns",
    "/hub/api/whoami-v2",
    "/hub/api/whoami-v2",
    "/s3/bucket/keepstream-health-check",
  ]);
});

const otherKeys = unwrap(parseSigningKeys(`k1:${"B".repeat(43)}`));
const xml = (code: string, status: number) => text(`<Error><Code>${code}</Code></Error>`, "application/xml", status);
const TAKEDOWNS = "/functions/v1/streaming/takedowns";
const FAULTS: Readonly<Record<string, [(proxy: ProxyFixture) => unknown, RegExp]>> = {
  "a token is refused": [
    (proxy) =>
      proxy.route("/hub/api/whoami-v2", ({ headers }, response) => {
        send(response, headers.get("authorization") === "Bearer hf_bob" ? 200 : 401, {}, "");
      }),
    /HF_TOKEN_STORAGE_1 \(401\)/,
  ],
  "the Hub is down": [
    (proxy) => proxy.route("/hub/api/whoami-v2", text("", "text/plain", 503)),
    /Hub does not answer for HF_TOKEN_STORAGE_[12] \(503\)/,
  ],
  "S3 refuses the key": [
    (proxy) => proxy.route("/s3/bucket/", xml("SignatureDoesNotMatch", 403)),
    /S3_SECRET_ACCESS_KEY/,
  ],
  "no such bucket": [(proxy) => proxy.route("/s3/bucket/", xml("NoSuchBucket", 404)), /S3_BUCKET/],
  "S3 is down": [(proxy) => proxy.route("/s3/bucket/", xml("InternalError", 500)), /S3 store does not answer \(500\)/],
  "the folder refuses": [(proxy) => proxy.route("/archive/", text("", "text/plain", 401)), /STORAGE_FOLDER_TOKEN/],
  "the runner is unreachable": [
    (proxy) => proxy.route("/archive/", (_, response) => void response.destroy()),
    /STORAGE_FOLDER_URL/,
  ],
  "the API has other keys": [
    (proxy) => publish(proxy, otherKeys),
    /PUBLIC_API_URL.*bad_signature.*STREAM_SIGNING_KEYS/,
  ],
  "the API replays a list": [(proxy) => publish(proxy, KEYS, 3600), /not recent/],
  "PUBLIC_API_URL is another site": [(proxy) => proxy.route(TAKEDOWNS, text("no", "text/plain", 404)), /404/],
  "the API is unreachable": [
    (proxy) => proxy.route(TAKEDOWNS, (_, response) => void response.destroy()),
    /PUBLIC_API_URL: it does not answer/,
  ],
};

Deno.test("health: a dependency fails → 503 with the reason and no secret", async (t) => {
  for (const [fault, [make, reason]] of Object.entries(FAULTS)) {
    await t.step(fault, async () => {
      await using proxy = await startFull();
      await make(proxy);
      const { status, reasons } = await deep(proxy);
      assert.equal(status, 503);
      assert.ok(reasons.length > 0);
      for (const actual of reasons) assert.match(actual, reason);
    });
  }
});

Deno.test("health: a key that may not list, or no targets → 200", async () => {
  await using proxy = await startFull();
  proxy.route("/s3/bucket/", xml("AccessDenied", 403));
  assert.equal((await deep(proxy)).status, 200);
  await using bare = await startProxyFixture();
  assert.equal((await deep(bare)).status, 200);
});

Deno.test("health: the Hub rate-limits whoami → 200", async () => {
  await using proxy = await startFull();
  proxy.route("/hub/api/whoami-v2", text("", "text/plain", 429));
  assert.deepEqual(await deep(proxy), { status: 200, reasons: [] });
});

Deno.test("health: no signing key → 503 with the variable's name, not its value", async () => {
  for (const keys of ["", "k1:too-short-a-secret"]) {
    await using worker = await startWorker({ vars: { STREAM_SIGNING_KEYS: keys } });
    for (const path of ["/health", "/health?deep=1"]) {
      const response = await fetch(worker.url + path);
      assert.equal(response.status, 503);
      const body = await response.text();
      assert.match(body, /STREAM_SIGNING_KEYS/);
      assert.ok(!body.includes("too-short"));
    }
  }
});

Deno.test("health: HEAD → GET's response without its body", async () => {
  await using proxy = await startFull();
  await publish(proxy, otherKeys);
  for (const path of ["/health", "/health?deep=1"]) {
    const get = await fetch(proxy.worker.url + path);
    const length = (await get.text()).length;
    const head = await fetch(proxy.worker.url + path, { method: "HEAD" });
    assert.equal(await head.text(), "");
    assert.equal(head.status, get.status);
    assert.equal(head.headers.get("content-type"), get.headers.get("content-type"));
    assert.ok([null, String(length)].includes(head.headers.get("content-length")));
  }
});

Deno.test("health: deep probes over the rate limit → 429, plain ones → 200", async () => {
  await using proxy = await startProxyFixture({ rateLimit: { limit: 2 } });
  const statuses = [];
  for (let i = 0; i < 3; i++) {
    const response = await fetch(`${proxy.worker.url}/health?deep=1`);
    await response.body?.cancel();
    statuses.push(response.status);
  }
  assert.deepEqual(statuses, [200, 200, 429]);
  assert.equal((await fetch(`${proxy.worker.url}/health`)).status, 200);
});
