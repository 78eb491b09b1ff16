/**
 * `POST /trigger`: a signed notification without a job (Standard Webhooks), or an operator's bearer request, which may enqueue a video.
 * Example: `curl -H "authorization: Bearer $SECRET" -d '{"mal_id":1,"episode":1,…}' …/trigger` → 202.
 */
import { z } from "zod";
import { err, ok, type Result } from "../../core/result.ts";
import { verifyWebhook, WEBHOOK_TOLERANCE_SECONDS } from "../../core/webhook.ts";

export const MAX_TRIGGER_BYTES = 64 * 1024;
/** Slower clients would delay a stopping runner. */
const BODY_TIMEOUT_MS = 10_000;

const videoSchema = z.strictObject({
  mal_id: z.number().int().min(1).max(2 ** 31 - 1),
  episode: z.number().int().min(1).max(2 ** 31 - 1),
  provider: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,19}$/),
  video_url: z.string().max(4096).regex(/^https?:\/\/[^\s\p{Cc}]+$/iu),
  resolution: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,9}$/).nullish(),
  embed_url: z.string().max(4096).regex(/^https?:\/\/[^\s\p{Cc}]+$/iu).nullish(),
});

export type TriggerVideo = z.output<typeof videoSchema>;

export type Trigger =
  | { readonly by: "webhook"; readonly replay: boolean }
  | { readonly by: "bearer"; readonly video: TriggerVideo | null };

export type TriggerRefusal = { readonly status: 400 | 401 | 408 | 413; readonly reason: string };

export type TriggerReader = (request: Request) => Promise<Result<Trigger, TriggerRefusal>>;

/** `now` in Unix seconds. */
export function createTriggerReader(
  options: { secret: string; now: () => number; bodyTimeoutMs?: number },
): TriggerReader {
  const seen = new Map<string, number>();

  function isReplay(id: string): boolean {
    const now = options.now();
    for (const [other, at] of seen) if (now - at > 2 * WEBHOOK_TOLERANCE_SECONDS) seen.delete(other);
    if (seen.has(id)) return true;
    seen.set(id, now);
    return false;
  }

  return async (request) => {
    const read = await readBody(request, options.bodyTimeoutMs ?? BODY_TIMEOUT_MS);
    if (!read.ok) return read;
    const body = read.value;
    // A signed notification may have a bearer token, too: the Hub's, for the proxy of a private Space.
    const signed = request.headers.has("webhook-signature");
    if (!signed && /^Bearer /i.test(request.headers.get("authorization") ?? "")) {
      if (!await isBearer(request, options.secret)) return refuse(401, "the bearer secret is wrong");
      return parseVideo(body);
    }
    const verified = await verifyWebhook({
      headers: {
        id: request.headers.get("webhook-id"),
        timestamp: request.headers.get("webhook-timestamp"),
        signature: request.headers.get("webhook-signature"),
      },
      body,
    }, { secrets: [options.secret], now: options.now() });
    if (!verified.ok) return refuse(401, `not signed: ${verified.error}`);
    return ok({ by: "webhook", replay: isReplay(verified.value.id) });
  };
}

/** Whether the request has the runner's secret. */
export async function isBearer(request: Request, secret: string): Promise<boolean> {
  const bearer = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  return bearer !== undefined && await equalSecrets(bearer, secret);
}

/** An empty body only notifies. */
function parseVideo(body: string): Result<Trigger, TriggerRefusal> {
  if (body.trim() === "") return ok({ by: "bearer", video: null });
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return refuse(400, "the body is not JSON");
  }
  if (Object.hasOwn(Object(value), "__proto__")) return refuse(400, "unknown field __proto__");
  const parsed = videoSchema.safeParse(value);
  if (parsed.success) return ok({ by: "bearer", video: parsed.data });
  const issues = parsed.error.issues.map((issue) => `${issue.path.join(".") || "body"}: ${issue.message}`);
  return refuse(400, issues.join("; ").slice(0, 500));
}

async function readBody(request: Request, timeoutMs: number): Promise<Result<string, TriggerRefusal>> {
  const tooLarge = { status: 413, reason: `a trigger has at most ${MAX_TRIGGER_BYTES} bytes` } as const;
  if (Number(request.headers.get("content-length") ?? 0) > MAX_TRIGGER_BYTES) {
    await request.body?.cancel();
    return err(tooLarge);
  }
  const reader = request.body?.getReader();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    reader?.cancel().catch(() => {}); // the client has disconnected
  }, timeoutMs);
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  try {
    for (let piece = await reader?.read(); piece?.value !== undefined; piece = await reader?.read()) {
      bytes += piece.value.length;
      if (bytes > MAX_TRIGGER_BYTES) {
        await reader?.cancel();
        return err(tooLarge);
      }
      text += decoder.decode(piece.value, { stream: true });
    }
  } finally {
    clearTimeout(timer);
  }
  return late ? err({ status: 408, reason: "the body did not arrive in time" }) : ok(text + decoder.decode());
}

/** Compares digests in constant time. */
async function equalSecrets(a: string, b: string): Promise<boolean> {
  const digest = async (text: string) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const [left, right] = await Promise.all([digest(a), digest(b)]);
  return left.reduce((difference, byte, i) => difference | (byte ^ right[i]!), 0) === 0;
}

function refuse(status: TriggerRefusal["status"], reason: string): Result<Trigger, TriggerRefusal> {
  return err({ status, reason });
}
