import assert from "node:assert/strict";
import { Webhook } from "standardwebhooks";
import { signWebhook, verifyWebhook } from "./webhook.ts";

const NOW = 1_767_000_000;
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const message = { id: "msg_1", timestamp: NOW, body: '{"type":"wake"}' };

async function verify(
  change: Partial<{ id: string; timestamp: string; signature: string; body: string }> = {},
  now = NOW,
) {
  const { body, ...headers } = {
    id: message.id,
    timestamp: String(NOW),
    signature: await signWebhook(message, SECRET),
    body: message.body,
    ...change,
  };
  const result = await verifyWebhook({ headers, body }, { secrets: [SECRET], now });
  return result.ok ? result.value.id : result.error;
}

Deno.test("signWebhook: the reference library → same signature, accepts ours", async () => {
  const date = new Date(Date.now());
  const timestamp = Math.floor(date.getTime() / 1000);
  const ours = await signWebhook({ ...message, timestamp }, SECRET);
  assert.equal(ours, new Webhook(SECRET).sign(message.id, date, message.body));
});

Deno.test("verifyWebhook: own signature, among others, any secret → accepted", async () => {
  assert.equal(await verify(), "msg_1");
  assert.equal(await verify({ signature: `v1a,xx v1,AAAA ${await signWebhook(message, SECRET)}` }), "msg_1");
  const plain = await signWebhook(message, "salt ü");
  const headers = { id: "msg_1", timestamp: String(NOW), signature: plain };
  assert.ok((await verifyWebhook({ headers, body: message.body }, { secrets: [SECRET, "salt ü"], now: NOW })).ok);
});

Deno.test("verifyWebhook: missing, old, future, altered → its own error", async () => {
  assert.equal(await verify({ signature: "" }), "missing_header");
  assert.equal(await verify({ timestamp: "soon" }), "bad_timestamp");
  assert.equal(await verify({}, NOW + 301), "too_old");
  assert.equal(await verify({}, NOW - 301), "too_new");
  assert.equal(await verify({ body: "{}" }), "bad_signature");
  assert.equal(await verify({ id: "msg_2" }), "bad_signature");
  assert.equal(await verify({ signature: "v1,nonsense!" }), "bad_signature");
});
