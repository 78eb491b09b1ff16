// The operator API: videos, catalogue, provider list and title mappings. Every route but health and openapi.json requires a secret key.
// Runs on: Deno, edge runtime.
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { describeRoute } from "hono-openapi";
import { z } from "zod";
import { RpcError } from "../../core/rpc_error.ts";
import type { UrlPolicy } from "../../core/url_policy.ts";
import { parseCatalogueText } from "../../sources/catalogue/text.ts";
import { parseProviderText } from "../../sources/providers/text.ts";
import { allowAllOrigins } from "../_shared/cors.ts";
import type { HealthCheck } from "../_shared/health.ts";
import { commonMiddleware, refuseOtherMethods } from "../_shared/middleware.ts";
import { serveOpenApi } from "../_shared/openapi.ts";
import { isOperator } from "../_shared/operator_key.ts";
import { type Problem, problem, respondHealth } from "../_shared/problem.ts";
import { readOnlyReason } from "../_shared/read_only.ts";
import type { Video } from "../_shared/video.ts";
import * as operations from "./operations.ts";
import type { OperatorStore, VideoFilter } from "./operator_store.ts";

const MAX_BODY_BYTES = 8 * 1024 * 1024;
const MAX_LIST = 500;
const STATUSES = ["pending", "downloading", "uploading", "ready", "failed"];

const malIdSchema = z.string().regex(/^\d{1,10}$/).transform(Number).pipe(z.number().int().min(1).max(2 ** 31 - 1));

const mappingSchema = z.object({
  malId: malIdSchema,
  provider: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,19}$/),
  // deno-lint-ignore no-control-regex
  page: z.string().min(1).max(4096).regex(/^[^\u0000-\u0020\u007f]+$/).nullable(),
});

export interface ArchiveAppTools {
  readonly store: OperatorStore;
  readonly operatorKeys: readonly string[];
  readonly health: HealthCheck;
  /** Which catalogue URLs are accepted. */
  readonly policy?: UrlPolicy;
  readonly onError: (event: "request:failed", error: unknown, requestId: string) => void;
}

export function createArchiveApp(tools: ArchiveAppTools): Hono {
  const bases = ["/archive", "/api/v1/archive"];
  const app = new Hono();
  app.use(allowAllOrigins, commonMiddleware, refuseOtherMethods(app));
  for (const base of bases) app.route(base, publicRoutes(tools));
  app.use(requireOperator(tools.operatorKeys));
  app.use(bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: (c) => problem(c, { status: 413, code: "too_large", detail: `at most ${MAX_BODY_BYTES} bytes` }),
  }));
  for (const base of bases) app.route(base, operatorRoutes(tools));
  app.notFound((c) => problem(c, { status: 404, code: "not_found", detail: "docs/reference/api.md lists the routes" }));
  app.onError((error, c) => {
    const refusal = error instanceof RpcError ? rpcProblem(error) : null;
    const isLogged = refusal === null || refusal.code === "database_read_only";
    if (isLogged) tools.onError("request:failed", error, c.get("requestId"));
    return problem(c, refusal ?? { status: 500, code: "internal", detail: "the request failed; it is logged" });
  });
  return app;
}

function publicRoutes({ health }: ArchiveAppTools): Hono {
  const app = new Hono();
  app.get("/openapi.json", serveOpenApi);
  app.get("/health", describeRoute(operations.health), async (c) => respondHealth(c, await health()));
  return app;
}

function requireOperator(keys: readonly string[]): MiddlewareHandler {
  return async (c, next) => {
    if (await isOperator(c.req.raw.headers, keys)) return await next();
    return problem(c, {
      status: 401,
      code: "not_authenticated",
      detail: "send a secret key of the project as apikey",
      headers: { "www-authenticate": 'Bearer realm="keepstream"' },
    });
  };
}

function operatorRoutes({ store, policy = {} }: ArchiveAppTools): Hono {
  const app = new Hono();
  app.get("/counts", describeRoute(operations.getCounts), async (c) => done(c, { counts: await store.counts() }));
  app.get("/videos", describeRoute(operations.listVideos), async (c) => {
    const filter = parseFilter(c);
    if (filter === null) return invalid(c, "status, mal_id, limit or cursor is invalid");
    const videos = await store.listVideos(filter);
    return done(c, { videos, next: videos.length < filter.limit ? null : cursorOf(videos.at(-1)!) });
  });
  app.post(
    "/videos/retry",
    describeRoute(operations.retryFailed),
    async (c) => done(c, { retried: await store.retryFailed() }),
  );
  app.post("/videos/:id/retry", describeRoute(operations.retryVideo), async (c) => {
    if (!isUuid(c.req.param("id"))) return invalid(c, "the id must be a UUID");
    const video = await store.retryVideo(c.req.param("id"));
    if (video !== null) return done(c, { video });
    return problem(c, { status: 409, code: "not_failed", detail: "there is no failed video with this id" });
  });
  app.post("/videos/:id/cancel", describeRoute(operations.cancelVideo), async (c) => {
    if (!isUuid(c.req.param("id"))) return invalid(c, "the id must be a UUID");
    return done(c, { video: await store.cancelVideo(c.req.param("id")) });
  });
  app.post("/catalogue", describeRoute(operations.importCatalogue), async (c) => {
    const format = bodyFormat(c);
    if (format === null) return unsupported(c, "application/json or text/csv");
    const parsed = parseCatalogueText(await c.req.text(), format, { policy });
    if (!parsed.ok) return invalid(c, "the catalogue has invalid lines", { problems: parsed.issues });
    return done(c, { report: await store.importCatalogue(parsed.entries, isDryRun(c)) });
  });
  app.get(
    "/providers",
    describeRoute(operations.listProviders),
    async (c) => done(c, { providers: await store.listProviders() }),
  );
  app.post("/providers", describeRoute(operations.applyProviders), async (c) => {
    if (bodyFormat(c) !== "json") return unsupported(c, "application/json");
    const parsed = parseProviderText(await c.req.text());
    if (!parsed.ok) return invalid(c, "the list has invalid entries", { problems: parsed.issues });
    return done(c, { report: await store.applyProviders(parsed.entries, isDryRun(c)) });
  });
  app.get("/mappings/:malId/:provider", describeRoute(operations.getMapping), async (c) => {
    const at = mappingSchema.omit({ page: true }).safeParse(c.req.param());
    if (!at.success) return invalid(c, "ask for /mappings/{malId}/{provider}");
    const mapping = await store.readMapping(at.data);
    if (mapping !== null) return done(c, { mal_id: at.data.malId, provider: at.data.provider, ...mapping });
    return problem(c, { status: 404, code: "not_found", detail: "the title is not mapped at this provider" });
  });
  app.put("/mappings/:malId/:provider", describeRoute(operations.mapTitle), async (c) => {
    if (bodyFormat(c) !== "json") return unsupported(c, "application/json");
    const mapping = mappingSchema.safeParse({ ...c.req.param(), ...bodyObject(await c.req.text()) });
    if (!mapping.success) return invalid(c, 'send {"page": "/anime/some-title/"}, or {"page": null} to delete it');
    await store.mapTitle(mapping.data, mapping.data.page);
    return done(c, { mal_id: mapping.data.malId, provider: mapping.data.provider, page: mapping.data.page });
  });
  return app;
}

/** Null for an error that is not the caller's or the database's. */
function rpcProblem(error: RpcError): Problem | null {
  const { status, detail } = error;
  const reason = readOnlyReason(error);
  const headers = { "retry-after": "5" };
  if (reason !== null) {
    return {
      status: 503,
      code: "database_read_only",
      detail: `${reason}, so nothing was changed; try again later`,
      headers,
    };
  }
  if (status === 0 || status === 503) {
    return { status: 503, code: "database_unavailable", detail: "the database does not answer, try again", headers };
  }
  // The statuses with which the SQL functions refuse an operator's input.
  const refused = ([400, 404, 409, 422] as const).find((known) => known === status);
  return refused === undefined ? null : { status: refused, code: "refused", detail };
}

function done(c: Context, body: Readonly<Record<string, unknown>>): Response {
  return c.json({ success: true, ...body }, 200, { "cache-control": "no-store" });
}

function invalid(c: Context, detail: string, more: Record<string, unknown> = {}): Response {
  return problem(c, { status: 400, code: "invalid_input", detail, more });
}

/** JSON unless the content type is CSV; null for others, such as the ones that browsers send for a form. */
function bodyFormat(c: Context): "json" | "csv" | null {
  const type = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (type === "text/csv") return "csv";
  return ["", "application/json", "text/plain"].includes(type) ? "json" : null;
}

function unsupported(c: Context, types: string): Response {
  return problem(c, { status: 415, code: "unsupported_media_type", detail: `send ${types}` });
}

function parseFilter(c: Context): VideoFilter | null {
  const status = c.req.query("status") ?? null;
  const malId = c.req.query("mal_id") ?? null;
  const limit = Number(c.req.query("limit") ?? 100);
  if (status !== null && !STATUSES.includes(status)) return null;
  if (malId !== null && !malIdSchema.safeParse(malId).success) return null;
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIST) return null;
  const after = parseCursor(c.req.query("cursor"));
  if (after === undefined) return null;
  return { status, malId: malId === null ? null : Number(malId), limit, after };
}

const cursorSchema = z.object({ updated_at: z.iso.datetime({ offset: true }), id: z.uuid() });

function cursorOf({ updated_at, id }: Video): string {
  return btoa(`${updated_at} ${id}`);
}

/** null: no cursor was sent; undefined: it is invalid. */
function parseCursor(text: string | undefined): VideoFilter["after"] | undefined {
  if (text === undefined) return null;
  try {
    const [updated_at, id] = atob(text).split(" ");
    return cursorSchema.safeParse({ updated_at, id }).data;
  } catch {
    return undefined; // not base64
  }
}

function bodyObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && "page" in value ? { page: value.page } : {};
  } catch {
    return {}; // fails the schema, which requires a page
  }
}

function isDryRun(c: Context): boolean {
  return ["1", "true"].includes(c.req.query("dry_run") ?? "");
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
