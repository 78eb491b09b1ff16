// Standard Webhooks v1: the signature over `{id}.{timestamp}.{body}` of the queue's notification.
// Example: webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
import { type Bytes, decodeBase64, encodeBase64 } from "./base64url.ts";
import { err, ok, type Result } from "./result.ts";

/** Maximum distance of a timestamp from now, in the past or the future. */
export const WEBHOOK_TOLERANCE_SECONDS = 300;

export interface WebhookMessage {
  readonly id: string;
  /** Unix seconds. */
  readonly timestamp: number;
  readonly body: string;
}

export interface WebhookHeaders {
  readonly id: string | null;
  readonly timestamp: string | null;
  readonly signature: string | null;
}

export type WebhookError = "missing_header" | "bad_timestamp" | "too_old" | "too_new" | "bad_signature" | "bad_secret";

/** The value of `webhook-signature`. The secret is `whsec_<base64>`, or any other text as UTF-8. */
export async function signWebhook(message: WebhookMessage, secret: string): Promise<string> {
  const key = await importSecret(secret, "sign");
  if (key === null) throw new Error("the webhook secret is empty or not base64 after whsec_");
  const mac = await crypto.subtle.sign("HMAC", key, signedContent(message.id, String(message.timestamp), message.body));
  return `v1,${encodeBase64(new Uint8Array(mac))}`;
}

/**
 * Verifies a received webhook; `now` in unix seconds, `secrets` in any order (two while rotating).
 * Returns the message's id, with which the caller ignores replays.
 */
export async function verifyWebhook(
  received: { readonly headers: WebhookHeaders; readonly body: string },
  options: { readonly secrets: readonly string[]; readonly now: number },
): Promise<Result<{ readonly id: string }, WebhookError>> {
  const { id, timestamp, signature } = received.headers;
  if (!id || !timestamp || !signature) return err("missing_header");
  if (!/^\d{1,12}$/.test(timestamp)) return err("bad_timestamp");
  const age = options.now - Number(timestamp);
  if (age > WEBHOOK_TOLERANCE_SECONDS) return err("too_old");
  if (age < -WEBHOOK_TOLERANCE_SECONDS) return err("too_new");
  const content = signedContent(id, timestamp, received.body);
  const given = signature.split(" ").slice(0, 8).filter((part) => part.startsWith("v1,"));
  for (const secret of options.secrets) {
    const key = await importSecret(secret, "verify");
    if (key === null) return err("bad_secret");
    for (const part of given) {
      const mac = decodeBase64(part.slice(3));
      // subtle.verify compares in constant time.
      if (mac !== null && await crypto.subtle.verify("HMAC", key, mac, content)) return ok({ id });
    }
  }
  return err("bad_signature");
}

function signedContent(id: string, timestamp: string, body: string): Bytes {
  return new TextEncoder().encode(`${id}.${timestamp}.${body}`);
}

async function importSecret(secret: string, usage: "sign" | "verify"): Promise<CryptoKey | null> {
  const bytes = secret.startsWith("whsec_") ? decodeBase64(secret.slice(6)) : new TextEncoder().encode(secret);
  if (bytes === null || bytes.length === 0) return null;
  return await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, [usage]);
}
