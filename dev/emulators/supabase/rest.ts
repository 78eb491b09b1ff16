/**
 * `/rest/v1/*`: the part of PostgREST that keepstream and its tests use, with PostgREST's statuses, headers and
 * error bodies. Each request is one transaction under the caller's role.
 */
import type { Sql } from "postgres";
import { allInOrder, type TransactionPool } from "./transaction.ts";
import { databaseDown, fromPostgres, isPostgresFailure, RestError } from "./errors.ts";
import { authenticate, type Claims, type ProjectKeys } from "./keys.ts";
import { parseQuery } from "./query.ts";
import { loadSchemaCache, type Relation, type SchemaCache } from "./schema_cache.ts";
import {
  callStatement,
  chooseRoutine,
  type Conflict,
  deleteStatement,
  insertStatement,
  readStatement,
  type Statement,
  updateStatement,
} from "./statement.ts";

/** Supabase's default `api.max_rows`. */
const MAX_ROWS = 1000;
const OBJECT_TYPE = "application/vnd.pgrst.object+json";

export interface RestApi {
  /** Responds to a request; `path` excludes `/rest/v1`. */
  handle(request: Request, path: string): Promise<Response>;
  close(): Promise<void>;
}

/** @param sql reads the schema and listens for its changes; it and the pool are connected as `authenticator`. */
export async function startRestApi(
  sql: Sql,
  options: { keys: ProjectKeys; pool: TransactionPool },
): Promise<RestApi> {
  let cache = await loadSchemaCache(sql);
  let loading: Promise<void> = Promise.resolve();
  const reload = () => {
    loading = loadSchemaCache(sql).then((fresh) => void (cache = fresh), () => {}); // the next notification tries again
  };
  const subscription = await sql.listen("pgrst", reload, reload);
  return {
    async handle(request, path) {
      let anonymous = true;
      try {
        const claims = await authenticate(request, options.keys);
        anonymous = claims.role === "anon";
        await loading;
        return await respond(request, { path, claims, cache, pool: options.pool });
      } catch (error) {
        await request.body?.cancel().catch(() => {});
        if (error instanceof RestError) return error.toResponse();
        if (isPostgresFailure(error)) return fromPostgres(error, anonymous).toResponse();
        return databaseDown(error).toResponse();
      }
    },
    async close() {
      await subscription.unlisten().catch(() => {}); // the server may have stopped already
      await loading;
    },
  };
}

interface Context {
  readonly path: string;
  readonly claims: Claims;
  readonly cache: SchemaCache;
  readonly pool: TransactionPool;
}

interface Plan {
  readonly settings?: readonly (readonly [string, string])[];
  readonly statement: Statement;
  readonly readOnly: boolean;
  readonly status: "range" | "void" | "insert" | "change";
}

async function respond(request: Request, context: Context): Promise<Response> {
  const accept = acceptedType(request);
  const prefer = new Set((request.headers.get("prefer") ?? "").split(",").map((each) => each.trim()).filter(Boolean));
  const url = new URL(request.url);
  const counting = { count: prefer.has("count=exact"), maxRows: MAX_ROWS };
  const rpc = /^\/rpc\/([^/]+)$/.exec(context.path)?.[1];
  const table = /^\/([^/]+)$/.exec(context.path)?.[1];
  let plan: Plan;
  if (rpc !== undefined) plan = await planCall(request, { ...context, url, name: decodeURIComponent(rpc), counting });
  else if (table !== undefined) {
    plan = await planTable(request, { ...context, url, prefer, table: decodeURIComponent(table), counting });
  } else {throw new RestError(404, {
      code: "PGRST125",
      details: null,
      hint: null,
      message: "Invalid path specified in request URL",
    });}

  const { row, guc } = await run(request, { ...context, plan, accept });
  const query = parseQuery(url, request.headers);
  const headers = new Headers({ "content-type": `${accept}; charset=utf-8` });
  const applied = [...prefer].filter((each) => each === "count=exact" || each.startsWith("return="));
  if (applied.length) headers.set("preference-applied", applied.join(", "));
  headers.set("content-range", contentRange(query.offset, row.page_total, counting.count ? row.total : null));
  for (const header of guc.headers) for (const [name, value] of Object.entries(header)) headers.set(name, value);
  const status = guc.status ?? statusOf(plan, { row, prefer, offset: query.offset, counted: counting.count });
  if (status === 416) {
    const details = `An offset of ${query.offset} was requested, but there are only ${row.total} rows.`;
    throw new RestError(416, { code: "PGRST103", details, hint: null, message: "Requested range not satisfiable" }, {
      "content-range": headers.get("content-range")!,
    });
  }
  const empty = plan.status === "void" || request.method === "HEAD" ||
    (plan.status !== "range" && !prefer.has("return=representation"));
  if (empty && request.method !== "HEAD") headers.delete("content-type");
  return new Response(empty ? null : row.body, { status, headers });
}

async function planCall(
  request: Request,
  context: Context & { url: URL; name: string; counting: { count: boolean; maxRows: number } },
): Promise<Plan> {
  const query = parseQuery(context.url, request.headers);
  let payload: string;
  let argumentNames: string[];
  if (request.method === "POST") {
    const text = await request.text();
    payload = text.trim() === "" ? "{}" : text;
    argumentNames = Object.keys(parseObject(payload));
  } else if (request.method === "GET" || request.method === "HEAD") {
    argumentNames = Object.keys(query.rest);
    payload = JSON.stringify(query.rest);
  } else {
    throw new RestError(405, {
      code: "PGRST101",
      details: null,
      hint: null,
      message: `Cannot use the ${request.method} method on RPC`,
    });
  }
  const routine = chooseRoutine(context.cache, context.name, argumentNames);
  if (request.method !== "POST") payload = typedPayload(query.rest, routine.parameters);
  const statement = callStatement(routine, { payload, argumentNames, query, counting: context.counting });
  return {
    statement,
    readOnly: request.method !== "POST",
    status: routine.returns === "void" ? "void" : "range",
    settings: routine.settings,
  };
}

/** Arguments in a query string are text; a json argument is parsed as JSON nevertheless. */
function typedPayload(
  rest: Readonly<Record<string, string>>,
  parameters: readonly { name: string; type: string }[],
): string {
  const entries = Object.entries(rest).map(([name, value]) => {
    const type = parameters.find((parameter) => parameter.name === name)?.type;
    return [name, type === "json" || type === "jsonb" ? parseJson(value) : value];
  });
  return JSON.stringify(Object.fromEntries(entries));
}

async function planTable(
  request: Request,
  context: Context & {
    url: URL;
    table: string;
    prefer: ReadonlySet<string>;
    counting: { count: boolean; maxRows: number };
  },
): Promise<Plan> {
  const relation = context.cache.relations.get(context.table);
  if (!relation) {
    const message = `Could not find the table 'public.${context.table}' in the schema cache`;
    throw new RestError(404, { code: "PGRST205", details: null, hint: null, message });
  }
  const query = parseQuery(context.url, request.headers);
  switch (request.method) {
    case "GET":
    case "HEAD":
      return {
        statement: readStatement(relation, { query, counting: context.counting }),
        readOnly: true,
        status: "range",
      };
    case "POST": {
      const payload = await request.text();
      const parsed = parseJson(payload);
      const rows = (Array.isArray(parsed) ? parsed : [parsed]).map(asObject);
      const onConflict = conflictOf(context, relation);
      return {
        statement: insertStatement(relation, { payload, rows, query, onConflict }),
        readOnly: false,
        status: "insert",
      };
    }
    case "PATCH": {
      const row = parseObject(await request.text());
      return { statement: updateStatement(relation, { row, query }), readOnly: false, status: "change" };
    }
    case "DELETE":
      return { statement: deleteStatement(relation, { query }), readOnly: false, status: "change" };
    default:
      throw new RestError(405, {
        code: "PGRST117",
        details: null,
        hint: null,
        message: `Unsupported HTTP method: ${request.method}`,
      });
  }
}

function conflictOf(context: { url: URL; prefer: ReadonlySet<string> }, relation: Relation): Conflict | undefined {
  const columns = context.url.searchParams.get("on_conflict")?.split(",").map((each) => each.trim());
  const resolution = [...context.prefer].find((each) => each.startsWith("resolution="))?.slice("resolution=".length);
  if (resolution !== "merge-duplicates" && resolution !== "ignore-duplicates") return undefined;
  return { resolution, columns: columns ?? relation.primaryKey };
}

interface ResultRow {
  readonly body: string;
  readonly page_total: number;
  readonly total: number | null;
}

interface ResponseSettings {
  readonly headers: readonly Record<string, string>[];
  readonly status: number | undefined;
}

async function run(
  request: Request,
  context: Context & { plan: Plan; accept: string },
): Promise<{ row: ResultRow; guc: ResponseSettings }> {
  const { plan, pool } = context;
  const { statement } = plan;
  return await pool.transaction({ readOnly: plan.readOnly }, async (transaction) => {
    // One round trip: the settings, the statement and its own settings are sent together, and results arrive in order.
    const [, rows, settings] = await allInOrder([
      applySettings(transaction, request, context),
      transaction.unsafe<ResultRow[]>(statement.sql, statement.payload === undefined ? [] : [statement.payload]),
      transaction<{ headers: string | null; status: string | null }[]>`
        select current_setting('response.headers', true) as headers, current_setting('response.status', true) as status`,
    ]);
    const row = rows[0]!;
    if (context.accept === OBJECT_TYPE && row.page_total !== 1) {
      const details = `The result contains ${row.page_total} rows`;
      const message = "Cannot coerce the result to a single JSON object";
      throw new RestError(406, { code: "PGRST116", details, hint: null, message }); // rolls back the transaction
    }
    const body = context.accept === OBJECT_TYPE && !statement.single ? firstElement(row.body) : row.body;
    return { row: { ...row, body }, guc: readSettings(settings[0]!) };
  });
}

function applySettings(transaction: Sql, request: Request, context: Context & { plan: Plan }) {
  const { role } = context.claims;
  const headers = JSON.stringify(Object.fromEntries(request.headers));
  const settings: (readonly [string, string])[] = [
    ["search_path", '"public", "extensions"'],
    ...context.cache.roleSettings.get(role) ?? [],
    ["role", role],
    ["request.jwt.claims", JSON.stringify(context.claims)],
    ["request.method", request.method],
    ["request.path", context.path],
    ["request.headers", headers],
    ...context.plan.settings ?? [],
  ];
  const calls = settings.map((_, index) => `set_config($${index * 2 + 1}, $${index * 2 + 2}, true)`);
  return transaction.unsafe(`select ${calls.join(", ")}`, settings.flat() as string[], { prepare: true });
}

function readSettings(row: { headers: string | null; status: string | null }): ResponseSettings {
  const headers = row.headers ? parseJson(row.headers) : [];
  if (!Array.isArray(headers)) {
    const message =
      "response.headers guc must be a JSON array composed of objects with a single key and a string value";
    throw new RestError(500, { code: "PGRST111", details: null, hint: null, message });
  }
  const status = row.status ? Number(row.status) : undefined;
  if (status !== undefined && !(status >= 200 && status <= 599)) {
    throw new RestError(500, {
      code: "PGRST112",
      details: null,
      hint: null,
      message: "response.status guc must be a valid status code",
    });
  }
  return { headers: headers as Record<string, string>[], status };
}

function statusOf(
  plan: Plan,
  result: { row: ResultRow; prefer: ReadonlySet<string>; offset: number; counted: boolean },
): number {
  if (plan.status === "void") return 204;
  if (plan.status === "insert") return 201;
  if (plan.status === "change") return result.prefer.has("return=representation") ? 200 : 204;
  const { total, page_total } = result.row;
  if (!result.counted || total === null) return 200;
  if (result.offset > total) return 416;
  return page_total < total ? 206 : 200;
}

function contentRange(offset: number, pageTotal: number, total: number | null): string {
  const last = offset + pageTotal - 1;
  return `${total !== 0 && offset <= last ? `${offset}-${last}` : "*"}/${total ?? "*"}`;
}

/** @throws {RestError} 406 for invalid JSON. */
function acceptedType(request: Request): string {
  const types = (request.headers.get("accept") ?? "*/*").split(",").map((each) => each.split(";")[0]!.trim());
  if (types.includes(OBJECT_TYPE)) return OBJECT_TYPE;
  if (
    types.some((type) =>
      ["*/*", "application/*", "application/json", "application/vnd.pgrst.array+json"].includes(type)
    )
  ) {
    return "application/json";
  }
  const message = `None of these media types are available: ${types.join(", ")}`;
  throw new RestError(406, { code: "PGRST107", details: null, hint: null, message });
}

function firstElement(json: string): string {
  return json.slice(1, -1).trim(); // an array of exactly one
}

function parseObject(text: string): Record<string, unknown> {
  return asObject(parseJson(text));
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalidBody();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidBody();
  }
}

function invalidBody(): RestError {
  return new RestError(400, { code: "PGRST102", details: null, hint: null, message: "Empty or invalid json" });
}
