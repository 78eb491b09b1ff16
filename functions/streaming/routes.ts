// The public API: GET /streaming/:malId/:episode, also below /api/v1, and as POST for clients that use functions.invoke.
// Runs on: Deno, edge runtime.
import { type Context, Hono } from "hono";
import { describeRoute } from "hono-openapi";
import { RpcError } from "../../core/rpc_error.ts";
import { allowAllOrigins } from "../_shared/cors.ts";
import type { HealthCheck } from "../_shared/health.ts";
import { commonMiddleware, refuseOtherMethods } from "../_shared/middleware.ts";
import { serveOpenApi } from "../_shared/openapi.ts";
import { problem, respondHealth } from "../_shared/problem.ts";
import { connectionAddress } from "../_shared/serve.ts";
import { entityTag, matchesTag } from "./entity_tag.ts";
import { parseEpisodeKey } from "./episode_key.ts";
import type { EpisodeOutcome, EpisodeService } from "./episode_service.ts";
import type { EpisodeKey, RateLimit } from "./episode_store.ts";
import * as operations from "./operations.ts";

/** Short: the Worker already caches the list for up to a minute. */
const TAKEDOWNS_CACHE = "public, max-age=5";

export interface StreamingAppTools {
  readonly episodes: EpisodeService;
  /** Identifies the client for the rate limit; null: not counted. */
  readonly clientOf: (request: Request, key: EpisodeKey, connection: string | null) => Promise<string | null>;
  readonly health: HealthCheck;
  /** Also checks the Worker. */
  readonly deepHealth: HealthCheck;
  /** The signed deny list. @throws {RpcError} */
  readonly takedowns: () => Promise<string>;
  readonly onError: (event: "request:failed", error: unknown, requestId: string) => void;
}

export function createStreamingApp(tools: StreamingAppTools): Hono {
  const app = new Hono();
  app.use(allowAllOrigins, commonMiddleware, refuseOtherMethods(app));
  for (const base of ["/streaming", "/api/v1/streaming"]) app.route(base, streamingRoutes(tools));
  app.notFound((c) => problem(c, { status: 404, code: "not_found", detail: "ask for /streaming/{mal_id}/{episode}" }));
  app.onError((error, c) => {
    tools.onError("request:failed", error, c.get("requestId"));
    if (error instanceof RpcError) return unavailable(c, "the database does not answer, try again");
    return problem(c, { status: 500, code: "internal", detail: "the request failed; it is logged" });
  });
  return app;
}

function streamingRoutes(tools: StreamingAppTools): Hono {
  const app = new Hono();
  app.get("/health", describeRoute(operations.health), async (c) => {
    const check = c.req.query("deep") === "1" ? tools.deepHealth : tools.health;
    return respondHealth(c, await check());
  });
  app.get("/openapi.json", serveOpenApi);
  app.get("/takedowns", describeRoute(operations.takedowns), async (c) => {
    const body = await tools.takedowns();
    return c.body(body, 200, { "content-type": "application/json", "cache-control": TAKEDOWNS_CACHE });
  });
  const episode = async (c: Context) => {
    const startedAt = performance.now();
    const key = parseEpisodeKey({ malId: c.req.param("malId")!, episode: c.req.param("episode")! });
    if (!key.ok) return problem(c, { status: 400, code: "invalid_input", detail: key.error });
    const outcome = await tools.episodes.find(key.value, {
      client: await tools.clientOf(c.req.raw, key.value, connectionAddress(c.env)),
      refresh: c.req.query("refresh") === "1",
      peek: isPeek(c),
    });
    return respond(c, outcome, performance.now() - startedAt);
  };
  app.get("/:malId/:episode", describeRoute(operations.getEpisode), episode);
  app.post("/:malId/:episode", describeRoute(operations.invokeEpisode), episode);
  return app;
}

function respond(c: Context, outcome: EpisodeOutcome, tookMs: number): Response {
  switch (outcome.kind) {
    case "found": {
      const etag = entityTag(outcome.response);
      const headers = {
        etag,
        // Only the caller may store it, and has to revalidate: links expire, and archives become ready.
        "cache-control": "private, no-cache",
        "server-timing": `total;dur=${tookMs.toFixed(1)}, db;desc="${outcome.roundTrips} round trips"`,
        ...limitFields(outcome.limit),
      };
      // A conditional POST would be 412 (RFC 9110 section 13.1.2), which callers of functions.invoke cannot use.
      const conditional = c.req.method === "POST" ? undefined : c.req.header("if-none-match");
      if (matchesTag(conditional, etag)) return c.body(null, 304, headers);
      return c.json(outcome.response, 200, headers);
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

/** HEAD, and prefetches by a browser (RFC 9110 section 9.2.1, Sec-Purpose of the Fetch standard). */
function isPeek(c: Context): boolean {
  const purposes = ["sec-purpose", "purpose", "x-purpose", "x-moz"].map((name) => c.req.header(name) ?? "");
  return c.req.method === "HEAD" || c.req.query("peek") === "1" ||
    purposes.some((purpose) => /\b(?:prefetch|prerender|preview)\b/i.test(purpose));
}

/** draft-ietf-httpapi-ratelimit-headers-10: quota, requests left, seconds until the quota is full again. */
function limitFields(limit: RateLimit | null | undefined): Record<string, string> {
  if (!limit) return {};
  return {
    "ratelimit-policy": `"client";q=${limit.limit};w=60`,
    ratelimit: `"client";r=${limit.remaining};t=${limit.reset_seconds}`,
  };
}
