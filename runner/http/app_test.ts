import assert from "node:assert/strict";
import { signWebhook } from "../../core/webhook.ts";
import { createEvents, type RunnerEvent } from "../events.ts";
import { RpcError } from "../../core/rpc_error.ts";
import { type AppOptions, createApp } from "./app.ts";
import { createTriggerReader, isBearer, type TriggerVideo } from "./trigger.ts";

const SECRET = "a-secret-of-the-test";
const NOW = 1_800_000_000;

function makeApp(more: Partial<AppOptions> = {}) {
  const seen = { notifications: 0, videos: [] as TriggerVideo[], events: [] as RunnerEvent[] };
  const events = createEvents();
  events.on((event) => seen.events.push(event));
  const app = createApp({
    worker: "r1",
    concurrency: 2,
    startedAt: 0,
    now: () => 61_000,
    events,
    active: () => [],
    stopping: () => false,
    notify: () => seen.notifications++,
    readTrigger: createTriggerReader({ secret: SECRET, now: () => NOW }),
    enqueue: (video) => {
      seen.videos.push(video);
      return Promise.resolve({ id: "1", status: "pending" });
    },
    queueCounts: () => Promise.resolve({ due: 3 }),
    storageAccounts: 2,
    checkHealth: () => Promise.resolve([]),
    isOperator: (request) => isBearer(request, SECRET),
    targets: () => [],
    folder: null,
    totals: () => ({ finished: 1 }),
    recent: () => [],
    dashboard: "<!doctype html><title>d</title>",
    ...more,
  });
  return { app, seen };
}

async function signed(
  body: string,
  more: { id?: string; timestamp?: number; secret?: string } = {},
): Promise<RequestInit> {
  const message = { id: more.id ?? crypto.randomUUID(), timestamp: more.timestamp ?? NOW, body };
  return {
    method: "POST",
    body,
    headers: {
      "webhook-id": message.id,
      "webhook-timestamp": String(message.timestamp),
      "webhook-signature": await signWebhook(message, more.secret ?? SECRET),
    },
  };
}

function bearer(body: string, secret = SECRET): RequestInit {
  return { method: "POST", body, headers: { authorization: `Bearer ${secret}` } };
}

const VIDEO = {
  mal_id: 55825,
  episode: 1,
  provider: "animasu",
  video_url: "https://cdn.test/a.mp4",
  resolution: "720p",
};

Deno.test("POST /trigger: signed → 202 and notified; repeated → 200, not notified", async () => {
  const { app, seen } = makeApp();
  const request = await signed('{"type":"video_queue.waiting"}', { id: "msg_1" });
  assert.equal((await app.request("/trigger", request)).status, 202);
  const again = await app.request("/trigger", request);
  assert.equal(again.status, 200);
  assert.deepEqual(await again.json(), { success: true, replay: true });
  assert.equal(seen.notifications, 1);
});

Deno.test("POST /trigger: unsigned, altered, too old, from the future → 401", async () => {
  const { app, seen } = makeApp();
  const altered = { ...await signed("{}"), body: "{ }" };
  const requests = [
    { method: "POST", body: "{}" },
    await signed("{}", { secret: "another-secret" }),
    altered,
    await signed("{}", { timestamp: NOW - 301 }),
    await signed("{}", { timestamp: NOW + 301 }),
    bearer("{}", "wrong"),
    bearer("{}", ""),
  ];
  for (const request of requests) assert.equal((await app.request("/trigger", request)).status, 401);
  assert.equal(seen.notifications, 0);
});

Deno.test("POST /trigger: signed, with the Hub's bearer token → signature counts", async () => {
  const { app, seen } = makeApp();
  const withBearer = async (request: Promise<RequestInit>, bearer: string) => {
    const { headers, ...rest } = await request;
    return { ...rest, headers: { ...headers as Record<string, string>, authorization: `Bearer ${bearer}` } };
  };
  const good = await withBearer(signed("{}"), "hf_token");
  assert.equal((await app.request("/trigger", good)).status, 202);
  const forged = await withBearer(signed("{}", { secret: "another-secret" }), "hf_token");
  assert.equal((await app.request("/trigger", forged)).status, 401);
  const both = await withBearer(signed(JSON.stringify(VIDEO), { secret: "another-secret" }), SECRET);
  assert.equal((await app.request("/trigger", both)).status, 401, "a bad signature is not mended by a bearer");
  assert.deepEqual([seen.notifications, seen.videos], [1, []]);
});

Deno.test("POST /trigger: bearer → 202, enqueued; without a body → notified only", async () => {
  const { app, seen } = makeApp();
  const response = await app.request("/trigger", bearer(JSON.stringify(VIDEO)));
  assert.equal(response.status, 202);
  assert.deepEqual(await response.json(), { success: true, job: { id: "1", status: "pending" } });
  assert.deepEqual(seen.videos, [VIDEO]);
  assert.equal((await app.request("/trigger", bearer(""))).status, 202);
  assert.equal(seen.notifications, 2);
});

Deno.test("POST /trigger: bearer and a bad body → 400 with the field; 1 MB → 413", async () => {
  const { app, seen } = makeApp();
  const bad = [
    "{",
    "[]",
    '{"__proto__":{"admin":true},"mal_id":1}',
    JSON.stringify({ ...VIDEO, mal_id: 0 }),
    JSON.stringify({ ...VIDEO, mal_id: 2 ** 31 }),
    JSON.stringify({ ...VIDEO, episode: -5 }),
    JSON.stringify({ ...VIDEO, provider: "../../x" }),
    JSON.stringify({ ...VIDEO, resolution: "<script>" }),
    JSON.stringify({ ...VIDEO, video_url: "--version" }),
    JSON.stringify({ ...VIDEO, video_url: "https://a.test/\n x" }),
    JSON.stringify({ ...VIDEO, more: 1 }),
  ];
  for (const body of bad) assert.equal((await app.request("/trigger", bearer(body))).status, 400, body);
  assert.equal((await app.request("/trigger", bearer("x".repeat(1_000_000)))).status, 413);
  assert.equal((await app.request("/trigger", await signed("x".repeat(1_000_000)))).status, 413);
  assert.equal(seen.notifications, 0);
  assert.equal(seen.videos.length, 0);
});

Deno.test("GET /health, /status, /metrics, /: documented shape, strict CSP", async () => {
  const { app } = makeApp();
  const health = await (await app.request("/health")).json();
  assert.deepEqual(health, { status: "ok", worker: "r1", storage_accounts: 2 });
  const status = await (await app.request("/status")).json();
  assert.deepEqual([status.status, status.uptime_seconds, status.active, status.queue], ["ok", 61, [], { due: 3 }]);
  assert.match(await (await app.request("/metrics")).text(), /keepstream_runner_jobs_total\{outcome="finished"\} 1/);
  const page = await app.request("/");
  assert.match(page.headers.get("content-security-policy")!, /default-src 'none'/);
  assert.equal((await app.request("/nothing")).status, 404);
});

Deno.test("stopping runner: /health, /trigger → 503; no queue: /status → null", async () => {
  const { app } = makeApp({ stopping: () => true, queueCounts: () => Promise.reject(new Error("away")) });
  assert.equal((await app.request("/health")).status, 503);
  assert.equal((await app.request("/trigger", bearer(""))).status, 503);
  assert.equal((await (await app.request("/status")).json()).queue, null);
});

Deno.test("GET /health: cannot work → 503 with every reason; /health/live → 200", async () => {
  const reasons = ["queue: it cannot be reached", "disk: the work directory is full or read-only"];
  const { app } = makeApp({ checkHealth: () => Promise.resolve(reasons) });
  const response = await app.request("/health");
  assert.equal(response.status, 503);
  assert.deepEqual(await response.json(), {
    status: "unavailable",
    reason: reasons.join("; "),
    worker: "r1",
    storage_accounts: 2,
  });
  const live = await app.request("/health/live");
  assert.deepEqual([live.status, await live.json()], [200, { status: "ok" }]);
});

Deno.test("GET /status: counts by status, archived, and the additional counts", async () => {
  const byStatus = { pending: 1, downloading: 2, uploading: 3, ready: 4, failed: 5 };
  const { app } = makeApp({
    queueCounts: () => Promise.resolve({ ...byStatus, archived: 6, due: 1, dead: 2, clearing_error: null }),
  });
  const { queue, archived } = await (await app.request("/status")).json();
  assert.deepEqual([queue, archived], [{ ...byStatus, due: 1, dead: 2 }, 6]);
});

Deno.test("GET /status: without the secret → codes; with it → messages, names", async () => {
  const { app } = makeApp({
    recent: () => [{ outcome: "failed", code: "unsupported", message: "https://cdn.test/private/path" }],
    targets: () => [{
      target: "hub:alice",
      state: "auth",
      failuresInRow: 1,
      openUntilMs: null,
      usedBytes: 5,
      message: "alice",
      code: "storage_denied",
    }],
    queueCounts: () =>
      Promise.resolve({
        due: 3,
        clearing_error: "permission denied for private",
        notification: { at: "2026-01-01T00:00:00Z", status_code: 401, error: "private words" },
      }),
  });
  const open = await (await app.request("/status")).text();
  assert.doesNotMatch(open, /private|alice/);
  assert.match(open, /"code":"unsupported"/);
  assert.match(open, /"status_code":401/);
  const full = await (await app.request("/status", { headers: { authorization: `Bearer ${SECRET}` } })).text();
  assert.match(full, /private[^]*hub:alice[^]*denied for private/);
});

Deno.test("POST /trigger: refused by the queue → its status; unavailable → 503", async () => {
  for (const status of [403, 451, 400]) {
    const refusal = new RpcError("enqueue_video", { status, message: "not allowed" });
    const { app, seen } = makeApp({ enqueue: () => Promise.reject(refusal) });
    const response = await app.request("/trigger", bearer(JSON.stringify(VIDEO)));
    assert.equal(response.status, status);
    assert.deepEqual(await response.json(), { success: false, error: "enqueue_video: not allowed" });
    assert.equal(seen.notifications, 0);
  }
  const { app } = makeApp({ enqueue: () => Promise.reject(new Error("connection refused at 10.0.0.1")) });
  const response = await app.request("/trigger", bearer(JSON.stringify(VIDEO)));
  assert.equal(response.status, 503);
  assert.doesNotMatch(await response.text(), /10\.0\.0\.1/);
});

Deno.test("POST /trigger: a body that never ends → 408", async () => {
  const reader = createTriggerReader({ secret: SECRET, now: () => NOW, bodyTimeoutMs: 50 });
  const { app } = makeApp({ readTrigger: reader });
  const endless = new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode("{")) });
  const response = await app.request("/trigger", { method: "POST", body: endless, headers: bearer("").headers! });
  assert.equal(response.status, 408);
});
