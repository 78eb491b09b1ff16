// The public API: GET /streaming/:malId/:episode, the same below /api/v1, and both as POST (functions.invoke sends that).
// Runs on: Deno, edge runtime.
import { type Context, Hono } from "hono";
import { cors } from "hono/cors";
import { openApiDocument } from "../_shared/openapi.ts";
import { manners, noRoute } from "../_shared/manners.ts";
import { problem } from "../_shared/problem.ts";
import { entityTag, matchesTag } from "./entity_tag.ts";
import { parseEpisodeKey } from "./episode_key.ts";
import type { EpisodeOutcome, EpisodeService } from "./episode_service.ts";
import type { EpisodeKey, RateLimit } from "./episode_store.ts";

export interface StreamingAppTools {
  readonly episodes: EpisodeService;
  /** A name for whoever asks, for the rate limit. */
  readonly clientOf: (request: Request, key: EpisodeKey) => Promise<string | null>;
  readonly onError: (event: "request:failed", error: unknown, requestId: string) => void;
}

export function createStreamingApp(tools: StreamingAppTools): Hono {
  const app = new Hono();
  app.use(cors({
    origin: "*",
    allowMethods: ["GET", "POST", "HEAD", "OPTIONS"],
    allowHeaders: ["apikey", "authorization", "content-type", "if-none-match", "x-client-info", "x-request-id"],
    exposeHeaders: ["etag", "ratelimit", "ratelimit-policy", "retry-after", "server-timing", "x-request-id"],
    maxAge: 86_400,
  }));
  app.use(manners);
  for (const base of ["/streaming", "/api/v1/streaming"]) {
    app.get(`${base}/health`, (c) => c.json({ success: true }, 200, { "cache-control": "no-store" }));
    app.get(`${base}/openapi.json`, (c) => c.json(openApiDocument, 200, { "cache-control": "public, max-age=300" }));
    app.on(["GET", "POST"], `${base}/:malId/:episode`, async (c) => {
      const startedAt = performance.now();
      const key = parseEpisodeKey(c.req.param());
      if (!key.ok) return problem(c, { status: 400, code: "invalid_input", detail: key.error });
      const client = await tools.clientOf(c.req.raw, key.value);
      const outcome = await tools.episodes.answer(key.value, {
        client,
        refresh: c.req.query("refresh") === "1",
        peek: isPeek(c),
      });
      return respond(c, outcome, performance.now() - startedAt);
    });
  }
  app.notFound((c) => noRoute(c, app.routes, "ask for /streaming/{mal_id}/{episode}"));
  app.onError((error, c) => {
    tools.onError("request:failed", error, c.get("requestId"));
    return problem(c, { status: 500, code: "internal", detail: "the request failed; it is logged" });
  });
  return app;
}

function respond(c: Context, outcome: EpisodeOutcome, tookMs: number): Response {
  switch (outcome.kind) {
    case "answer": {
      const etag = entityTag(outcome.answer);
      const headers = {
        etag,
        // Kept by nobody but the caller, and not used again without asking: links run out, and archives get ready.
        "cache-control": "private, no-cache",
        "server-timing": `total;dur=${tookMs.toFixed(1)}, db;desc="${outcome.roundTrips} round trips"`,
        ...limitFields(outcome.limit),
      };
      // A conditional POST would be 412 (RFC 9110, 13.1.2), of which no caller of functions.invoke has any use.
      const conditional = c.req.method === "POST" ? undefined : c.req.header("if-none-match");
      if (matchesTag(conditional, etag)) return c.body(null, 304, headers);
      return c.json(outcome.answer, 200, headers);
    }
    case "rate_limited":
      return problem(c, {
        status: 429,
        code: "rate_limited",
        detail: `too many requests, try again in ${outcome.resetSeconds} s`,
        headers: { "retry-after": String(outcome.resetSeconds), ...limitFields(outcome.limit) },
      });
    case "unavailable":
      return problem(c, {
        status: 503,
        code: "database_unavailable",
        detail: outcome.detail,
        headers: { "retry-after": "5" },
      });
    case "taken_down":
      return problem(c, { status: 451, code: "taken_down", detail: "this title or episode has been taken down" });
  }
}

/** HEAD, and what a browser asks for before anybody wants it (RFC 9110, 9.2.1: safe methods; Fetch: Sec-Purpose). */
function isPeek(c: Context): boolean {
  const purposes = ["sec-purpose", "purpose", "x-purpose", "x-moz"].map((name) => c.req.header(name) ?? "");
  return c.req.method === "HEAD" || c.req.query("peek") === "1" ||
    purposes.some((purpose) => /\b(?:prefetch|prerender|preview)\b/i.test(purpose));
}

/** draft-ietf-httpapi-ratelimit-headers-10: how many requests there are in all, how many are left, when all are back. */
function limitFields(limit: RateLimit | null | undefined): Record<string, string> {
  if (!limit) return {};
  return {
    "ratelimit-policy": `"client";q=${limit.limit};w=60`,
    ratelimit: `"client";r=${limit.remaining};t=${limit.reset_seconds}`,
  };
}
