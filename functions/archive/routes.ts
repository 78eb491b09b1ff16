// The operator's API: what waits, retry, cancel, the catalogue and the provider list. Every route wants a secret key.
// Runs on: Deno, edge runtime.
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import type { UrlPolicy } from "../../core/url_policy.ts";
import { parseCatalogueText } from "../../sources/catalogue/text.ts";
import { parseProviderText } from "../../sources/providers/text.ts";
import { isOperator } from "../_shared/operator_key.ts";
import { openApiDocument } from "../_shared/openapi.ts";
import { allowAllOrigins } from "../_shared/cors.ts";
import type { HealthCheck } from "../_shared/health.ts";
import { manners, noRoute } from "../_shared/middleware.ts";
import { type Problem, problem, respondHealth } from "../_shared/problem.ts";
import { type ArchiveStore, DatabaseRefusal, type VideoFilter } from "./archive_store.ts";
import { readOnlyReason } from "../_shared/read_only.ts";
import type { Video } from "../_shared/video.ts";

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
  readonly store: ArchiveStore;
  readonly operatorKeys: readonly string[];
  readonly health: HealthCheck;
  /** Where the catalogue's addresses may be. */
  readonly policy?: UrlPolicy;
  readonly onError: (event: "request:failed", error: unknown, requestId: string) => void;
}

export function createArchiveApp({ store, operatorKeys, health, policy = {}, onError }: ArchiveAppTools): Hono {
  const app = new Hono();
  app.use(allowAllOrigins);
  app.use(manners);
  for (const base of ["/archive", "/api/v1/archive"]) {
    app.get(`${base}/openapi.json`, (c) => c.json(openApiDocument, 200, { "cache-control": "public, max-age=300" }));
    app.get(`${base}/health`, async (c) => respondHealth(c, await health()));
  }
  app.use(async (c, next) => {
    if (await isOperator(c.req.raw.headers, operatorKeys)) return await next();
    return problem(c, {
      status: 401,
      code: "not_authenticated",
      detail: "send a secret key of the project as apikey",
      headers: { "www-authenticate": 'Bearer realm="keepstream"' },
    });
  });
  app.use(bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: (c) => problem(c, { status: 413, code: "too_large", detail: `at most ${MAX_BODY_BYTES} bytes` }),
  }));

  for (const base of ["/archive", "/api/v1/archive"]) {
    app.get(`${base}/counts`, async (c) => done(c, { counts: await store.counts() }));
    app.get(`${base}/videos`, async (c) => {
      const filter = parseFilter(c);
      if (filter === null) return invalid(c, "status, mal_id, limit or cursor is not understood");
      const videos = await store.listVideos(filter);
      return done(c, { videos, next: videos.length < filter.limit ? null : cursorOf(videos.at(-1)!) });
    });
    app.post(`${base}/videos/retry`, async (c) => done(c, { retried: await store.retryFailed() }));
    app.post(`${base}/videos/:id/retry`, async (c) => {
      if (!isUuid(c.req.param("id"))) return invalid(c, "the id must be a UUID");
      const video = await store.retryVideo(c.req.param("id"));
      if (video !== null) return done(c, { video });
      return problem(c, { status: 409, code: "not_failed", detail: "there is no failed video of this id" });
    });
    app.post(`${base}/videos/:id/cancel`, async (c) => {
      if (!isUuid(c.req.param("id"))) return invalid(c, "the id must be a UUID");
      return done(c, { video: await store.cancelVideo(c.req.param("id")) });
    });
    app.post(`${base}/catalogue`, async (c) => {
      const format = bodyFormat(c);
      if (format === null) return unsupported(c, "application/json or text/csv");
      const parsed = parseCatalogueText(await c.req.text(), format, { policy });
      if (!parsed.ok) return invalid(c, "the catalogue has lines that cannot be used", { problems: parsed.problems });
      return done(c, { report: await store.importCatalogue(parsed.entries, isDryRun(c)) });
    });
    app.get(`${base}/providers`, async (c) => done(c, { providers: await store.listProviders() }));
    app.get(`${base}/mappings/:malId/:provider`, async (c) => {
      const at = mappingSchema.omit({ page: true }).safeParse(c.req.param());
      if (!at.success) return invalid(c, "ask for /mappings/{malId}/{provider}");
      const mapping = await store.readMapping(at.data);
      if (mapping !== null) return done(c, { mal_id: at.data.malId, provider: at.data.provider, ...mapping });
      return problem(c, { status: 404, code: "not_found", detail: "the title is not mapped at this provider" });
    });
    app.put(`${base}/mappings/:malId/:provider`, async (c) => {
      if (bodyFormat(c) !== "json") return unsupported(c, "application/json");
      const mapping = mappingSchema.safeParse({ ...c.req.param(), ...bodyObject(await c.req.text()) });
      if (!mapping.success) return invalid(c, 'send {"page": "/anime/some-title/"}, or {"page": null} to forget it');
      await store.mapTitle(mapping.data, mapping.data.page);
      return done(c, { mal_id: mapping.data.malId, provider: mapping.data.provider, page: mapping.data.page });
    });
    app.post(`${base}/providers`, async (c) => {
      if (bodyFormat(c) !== "json") return unsupported(c, "application/json");
      const parsed = parseProviderText(await c.req.text());
      if (!parsed.ok) return invalid(c, "the list has entries that cannot be used", { problems: parsed.problems });
      return done(c, { report: await store.applyProviders(parsed.entries, isDryRun(c)) });
    });
  }
  app.notFound((c) => noRoute(c, app.routes, "docs/reference/api.md lists the routes"));
  app.onError((error, c) => {
    const refusal = error instanceof DatabaseRefusal ? statusOf(error.status) : null;
    const readOnly = error instanceof DatabaseRefusal ? readOnlyReason(error.code) : null;
    if (readOnly !== null) {
      onError("request:failed", `${readOnly}: ${error.message}`, c.get("requestId"));
      return unavailable(c, "database_read_only", `${readOnly}, so nothing was changed; try again later`);
    }
    if (refusal === 503) return unavailable(c, "database_unavailable", "the database does not answer, try again");
    if (refusal !== null) return problem(c, { status: refusal, code: "refused", detail: error.message });
    onError("request:failed", error, c.get("requestId"));
    return problem(c, { status: 500, code: "internal", detail: "the request failed; it is logged" });
  });
  return app;
}

function unavailable(c: Context, code: string, detail: string): Response {
  return problem(c, { status: 503, code, detail, headers: { "retry-after": "5" } });
}

function done(c: Context, body: Readonly<Record<string, unknown>>): Response {
  return c.json({ success: true, ...body }, 200, { "cache-control": "no-store" });
}

function invalid(c: Context, detail: string, more: Record<string, unknown> = {}): Response {
  return problem(c, { status: 400, code: "invalid_input", detail, more });
}

/** JSON unless it says CSV; what browsers send for a form is neither. */
function bodyFormat(c: Context): "json" | "csv" | null {
  const type = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (type === "text/csv") return "csv";
  return ["", "application/json", "text/plain"].includes(type) ? "json" : null;
}

function unsupported(c: Context, types: string): Response {
  return problem(c, { status: 415, code: "unsupported_media_type", detail: `send ${types}` });
}

/** The statuses that the SQL functions use to refuse an operator's input; everything else is our failure. */
function statusOf(status: number): Problem["status"] | null {
  if (status === 0) return 503; // no answer at all
  return ([400, 404, 409, 422, 503] as const).find((known) => known === status) ?? null;
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

/** null: none was sent; undefined: it is none of ours. */
function parseCursor(text: string | undefined): VideoFilter["after"] | undefined {
  if (text === undefined) return null;
  try {
    const [updated_at, id] = atob(text).split(" ");
    return cursorSchema.safeParse({ updated_at, id }).data;
  } catch {
    return undefined; // no base64
  }
}

function bodyObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && "page" in value ? { page: value.page } : {};
  } catch {
    return {}; // the schema then misses the page
  }
}

function isDryRun(c: Context): boolean {
  return ["1", "true"].includes(c.req.query("dry_run") ?? "");
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}
