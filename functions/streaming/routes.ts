// The public API: GET /streaming/:malId/:episode, the same below /api/v1, and both as POST (functions.invoke sends that).
// Runs on: Deno, edge runtime.
import { type Context, Hono } from "hono";
import { openApiDocument } from "../_shared/openapi.ts";
import { allowAllOrigins } from "../_shared/cors.ts";
import type { HealthCheck } from "../_shared/health.ts";
import { manners, noRoute } from "../_shared/middleware.ts";
import { problem, respondHealth } from "../_shared/problem.ts";
import { connectionAddress } from "../_shared/serve.ts";
import { entityTag, matchesTag } from "./entity_tag.ts";
import { parseEpisodeKey } from "./episode_key.ts";
import type { EpisodeOutcome, EpisodeService } from "./episode_service.ts";
import { type EpisodeKey, type RateLimit, StoreError } from "./episode_store.ts";

/** The Worker keeps the list for up to a minute; what lies between must not add another one. */
const TAKEDOWNS_CACHE = "public, max-age=5";

export interface StreamingAppTools {
  readonly episodes: EpisodeService;
  /** A name for whoever asks, for the rate limit. */
  readonly clientOf: (request: Request, key: EpisodeKey, connection: string | null) => Promise<string | null>;
  readonly health: HealthCheck;
  /** Asks the Worker, too. */
  readonly deepHealth: HealthCheck;
  /** The signed deny list. @throws when the database does not answer. */
  readonly takedowns: () => Promise<string>;
  readonly onError: (event: "request:failed", error: unknown, requestId: string) => void;
}

export function createStreamingApp(tools: StreamingAppTools): Hono {
  const app = new Hono();
  app.use(allowAllOrigins);
  app.use(manners);
  for (const base of ["/streaming", "/api/v1/streaming"]) {
    app.get(`${base}/health`, async (c) => {
      const check = c.req.query("deep") === "1" ? tools.deepHealth : tools.health;
      return respondHealth(c, await check());
    });
    app.get(`${base}/openapi.json`, (c) => c.json(openApiDocument, 200, { "cache-control": "public, max-age=300" }));
    app.get(`${base}/takedowns`, async (c) => {
      const body = await tools.takedowns();
      return c.body(body, 200, { "content-type": "application/json", "cache-control": TAKEDOWNS_CACHE });
    });
    app.on(["GET", "POST"], `${base}/:malId/:episode`, async (c) => {
      const startedAt = performance.now();
      const key = parseEpisodeKey(c.req.param());
      if (!key.ok) return problem(c, { status: 400, code: "invalid_input", detail: key.error });
      const client = await tools.clientOf(c.req.raw, key.value, connectionAddress(c.env));
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
    if (error instanceof StoreError) {
      tools.onError("request:failed", error, c.get("requestId"));
      return unavailable(c, "the database does not answer, try again");
    }
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
      return unavailable(c, outcome.detail);
    case "taken_down":
      return problem(c, { status: 451, code: "taken_down", detail: "this title or episode has been taken down" });
  }
}

function unavailable(c: Context, detail: string): Response {
  return problem(c, { status: 503, code: "database_unavailable", detail, headers: { "retry-after": "5" } });
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
