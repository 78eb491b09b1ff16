/**
 * One REST request → one SQL statement that returns `body`, `page_total`, `total`. The JSON payload is its only
 * parameter, `$1`; the database determines types (`json_to_record`), as in PostgREST.
 */
import { RestError } from "./errors.ts";
import { identifier, type Query } from "./query.ts";
import type { Relation, Routine, SchemaCache } from "./schema_cache.ts";

export interface Statement {
  readonly sql: string;
  /** `$1`, if the statement has one. */
  readonly payload: string | undefined;
  /** A single value or row, not a list. */
  readonly single: boolean;
}

export interface Counting {
  readonly count: boolean;
  readonly maxRows: number;
}

/** @throws {RestError} 404 PGRST202 if no overload takes exactly these arguments, 300 PGRST203 if several do. */
export function chooseRoutine(cache: SchemaCache, name: string, argumentNames: readonly string[]): Routine {
  const overloads = cache.routines.get(name) ?? [];
  const given = new Set(argumentNames);
  const fitting = overloads.filter((routine) =>
    routine.parameters.every((parameter) => !parameter.required || given.has(parameter.name)) &&
    argumentNames.every((argument) => routine.parameters.some((parameter) => parameter.name === argument))
  );
  if (fitting.length === 1) return fitting[0]!;
  const unnamed = overloads.find(takesWholeBody);
  if (fitting.length === 0 && unnamed) return unnamed;
  if (fitting.length > 1) {
    const signatures = fitting.map((routine) => {
      const parameters = routine.parameters.map((parameter) => `${parameter.name} => ${parameter.type}`);
      return `public.${name}(${parameters.join(", ")})`;
    });
    throw new RestError(300, {
      code: "PGRST203",
      details: null,
      hint:
        "Try renaming the parameters or the function itself in the database so function overloading can be resolved",
      message: `Could not choose the best candidate function between: ${signatures.join(", ")}`,
    });
  }
  const names = [...given].sort().join(", ");
  const searched = given.size === 0 ? " without parameters" : ` with parameter${given.size > 1 ? "s" : ""} ${names}`;
  const hint = overloads[0]
    ? `Perhaps you meant to call the function public.${name}(${
      overloads[0].parameters.map((each) => each.name).sort().join(", ")
    })`
    : null;
  throw new RestError(404, {
    code: "PGRST202",
    details: `Searched for the function public.${name}${searched} or with a single unnamed json/jsonb parameter, ` +
      "but no matches were found in the schema cache.",
    hint,
    message: `Could not find the function public.${name}${
      given.size ? `(${names})` : " without parameters"
    } in the schema cache`,
  });
}

export function callStatement(
  routine: Routine,
  call: { payload: string; argumentNames: readonly string[]; query: Query; counting: Counting },
): Statement {
  const { source, payload } = callSource(routine, call);
  const single = !routine.returnsSet;
  if (routine.returns === "composite") {
    return { sql: wrap(source, { query: call.query, counting: call.counting, single }), payload, single };
  }
  const value = "_postgrest_t.pgrst_scalar";
  const body = single ? `coalesce(json_agg(${value})->0, 'null')` : `coalesce(json_agg(${value}), '[]')`;
  const sql = `with pgrst_source as (${source}) select ${body}::text as body, count(*)::int as page_total,
    ${call.counting.count ? "count(*)::int" : "null::int"} as total
    from (select * from pgrst_source ${limits(call.query, call.counting)}) _postgrest_t`;
  return { sql, payload, single };
}

export function readStatement(relation: Relation, options: { query: Query; counting: Counting }): Statement {
  const source = `select * from public.${identifier(relation.name)}`;
  return { sql: wrap(source, { ...options, single: false }), payload: undefined, single: false };
}

export function insertStatement(
  relation: Relation,
  options: {
    payload: string;
    rows: readonly Record<string, unknown>[];
    query: Query;
    onConflict: Conflict | undefined;
  },
): Statement {
  const table = `public.${identifier(relation.name)}`;
  const columns = writable(relation, options.rows);
  const list = columns.map(identifier).join(", ");
  const payload = JSON.stringify(options.rows);
  const source = columns.length === 0
    ? `insert into ${table} default values`
    : `insert into ${table} (${list}) select ${list} from json_populate_recordset(null::${table}, $1::text::json) _`;
  const written = `${source} ${conflictClause(options.onConflict, columns)} returning *`;
  return { sql: wrapWrite(written, options.query), payload: columns.length ? payload : undefined, single: false };
}

export function updateStatement(
  relation: Relation,
  options: { row: Record<string, unknown>; query: Query },
): Statement {
  const table = `public.${identifier(relation.name)}`;
  const columns = writable(relation, [options.row]);
  if (columns.length === 0) {
    return readStatement(relation, { query: options.query, counting: { count: false, maxRows: 0 } });
  }
  const list = columns.map(identifier).join(", ");
  const source = `update ${table} set (${list}) =
    (select ${columns.map((column) => `pgrst_body.${identifier(column)}`).join(", ")}
     from json_populate_record(null::${table}, $1::text::json) pgrst_body)
    ${options.query.where} returning *`;
  return { sql: wrapWrite(source, options.query), payload: JSON.stringify(options.row), single: false };
}

export function deleteStatement(relation: Relation, options: { query: Query }): Statement {
  const source = `delete from public.${identifier(relation.name)} ${options.query.where} returning *`;
  return { sql: wrapWrite(source, options.query), payload: undefined, single: false };
}

export interface Conflict {
  readonly resolution: "merge-duplicates" | "ignore-duplicates";
  readonly columns: readonly string[];
}

function conflictClause(conflict: Conflict | undefined, columns: readonly string[]): string {
  if (!conflict) return "";
  const target = conflict.columns.length ? `(${conflict.columns.map(identifier).join(", ")})` : "";
  const assignments = columns.map((column) => `${identifier(column)} = excluded.${identifier(column)}`).join(", ");
  const merge = conflict.resolution === "merge-duplicates" && assignments !== "" && target !== "";
  return `on conflict ${target} do ${merge ? `update set ${assignments}` : "nothing"}`;
}

function takesWholeBody(routine: Routine): boolean {
  const [only, ...more] = routine.parameters;
  return more.length === 0 && only?.name === "" && (only.type === "json" || only.type === "jsonb");
}

function callSource(routine: Routine, call: { payload: string; argumentNames: readonly string[] }) {
  const name = `public.${identifier(routine.name)}`;
  const given = routine.parameters.filter((parameter) => call.argumentNames.includes(parameter.name));
  const whole = takesWholeBody(routine);
  const list = whole
    ? `$1::text::${routine.parameters[0]!.type}`
    : given.map(({ name }) => `${identifier(name)} := pgrst_body.${identifier(name)}`).join(", ");
  const record = given.map((parameter) => `${identifier(parameter.name)} ${parameter.type}`).join(", ");
  const from = given.length ? `from json_to_record($1::text::json) as pgrst_body(${record})` : "";
  const payload = given.length || whole ? call.payload : undefined;
  if (routine.returns !== "composite") return { source: `select ${name}(${list}) as pgrst_scalar ${from}`, payload };
  const lateral = from ? `${from}, lateral ${name}(${list}) as pgrst_call` : `from ${name}(${list}) as pgrst_call`;
  return { source: `select pgrst_call.* ${lateral}`, payload };
}

function wrap(source: string, options: { query: Query; counting: Counting; single: boolean }): string {
  const { query, counting, single } = options;
  const page = `select ${query.select} from pgrst_source ${query.where} ${query.order} ${limits(query, counting)}`;
  const body = single ? "coalesce(json_agg(_postgrest_t)->0, 'null')" : "coalesce(json_agg(_postgrest_t), '[]')";
  const total = counting.count ? `(select count(*)::int from pgrst_source ${query.where})` : "null::int";
  return `with pgrst_source as (${source})
    select ${body}::text as body, count(*)::int as page_total, ${total} as total from (${page}) _postgrest_t`;
}

function wrapWrite(source: string, query: Query): string {
  return `with pgrst_source as (${source})
    select coalesce(json_agg(_postgrest_t), '[]')::text as body, count(*)::int as page_total, count(*)::int as total
    from (select ${query.select} from pgrst_source ${query.order}) _postgrest_t`;
}

function limits(query: Query, counting: Counting): string {
  const limit = counting.maxRows > 0 ? Math.min(query.limit ?? Infinity, counting.maxRows) : query.limit;
  return `${limit === undefined || limit === Infinity ? "" : `limit ${limit}`} ${
    query.offset ? `offset ${query.offset}` : ""
  }`;
}

/** @throws {RestError} 400 PGRST204 for a column that the table does not have. */
function writable(relation: Relation, rows: readonly Record<string, unknown>[]): string[] {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const unknown = columns.find((column) => !relation.columns.includes(column));
  if (unknown !== undefined) {
    throw new RestError(400, {
      code: "PGRST204",
      details: null,
      hint: null,
      message: `Could not find the '${unknown}' column of '${relation.name}' in the schema cache`,
    });
  }
  return columns;
}
