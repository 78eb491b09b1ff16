/**
 * The query string of a REST request → SQL. `?select=id,name:label&status=eq.ready&order=id.desc&limit=10`.
 * PostgREST's language without embedding, full-text search and aggregates.
 */
import { RestError } from "./errors.ts";

const RESERVED = new Set(["select", "order", "limit", "offset", "and", "or", "columns", "on_conflict", "apikey"]);

const OPERATORS: Readonly<Record<string, string>> = {
  eq: "=",
  neq: "<>",
  gt: ">",
  gte: ">=",
  lt: "<",
  lte: "<=",
  like: "like",
  ilike: "ilike",
  match: "~",
  imatch: "~*",
  cs: "@>",
  cd: "<@",
  ov: "&&",
  isdistinct: "is distinct from",
};

const FILTER_VALUE = new RegExp(`^(not\\.)?(is|in|${Object.keys(OPERATORS).join("|")})(\\((any|all)\\))?\\.`);

export interface Query {
  readonly select: string;
  /** `where …`, or empty. */
  readonly where: string;
  readonly order: string;
  readonly limit: number | undefined;
  readonly offset: number;
  /** Parameters outside the query language: the arguments of `GET /rpc/f?a=1`. */
  readonly rest: Readonly<Record<string, string>>;
}

/** @throws {RestError} 400 PGRST100 for an invalid query. */
export function parseQuery(url: URL, headers: Headers): Query {
  const conditions: string[] = [];
  const rest: Record<string, string> = {};
  for (const [name, value] of url.searchParams) {
    if (name === "and" || name === "or" || name === "not.and" || name === "not.or") conditions.push(logic(name, value));
    else if (RESERVED.has(name)) continue;
    else if (FILTER_VALUE.test(value)) conditions.push(filter(name, value));
    else rest[name] = value;
  }
  const range = /^(\d+)-(\d+)?$/.exec(headers.get("range") ?? "");
  const offset = url.searchParams.has("offset") ? count(url, "offset") : Number(range?.[1] ?? 0);
  const upTo = range?.[2] === undefined ? undefined : Number(range[2]) - Number(range[1]) + 1;
  if (upTo !== undefined && upTo < 1) {
    const details = "The lower boundary must be lower than or equal to the upper boundary in the Range header.";
    throw new RestError(416, { code: "PGRST103", details, hint: null, message: "Requested range not satisfiable" });
  }
  return {
    select: selectList(url.searchParams.get("select") ?? "*"),
    where: conditions.length ? `where ${conditions.join(" and ")}` : "",
    order: orderList(url.searchParams.get("order") ?? ""),
    limit: url.searchParams.has("limit") ? count(url, "limit") : upTo,
    offset,
    rest,
  };
}

export function identifier(name: string): string {
  refuseNul(name);
  return `"${name.replaceAll('"', '""')}"`;
}

/** An untyped literal: Postgres infers its type from the comparison. */
export function literal(value: string): string {
  refuseNul(value);
  const quoted = `'${value.replaceAll("'", "''")}'`;
  return value.includes("\\") ? ` E${quoted.replaceAll("\\", "\\\\")}` : quoted;
}

function filter(column: string, text: string): string {
  const match = /^(not\.)?([a-z]+)(?:\((any|all)\))?\.(.*)$/s.exec(text);
  if (!match) throw unreadable(`failed to parse filter (${text})`);
  const [, not, operator = "", quantifier, value = ""] = match;
  const condition = `${columnPath(column)} ${comparison({ operator, quantifier, value })}`;
  return not ? `not (${condition})` : condition;
}

function comparison(parts: { operator: string; quantifier: string | undefined; value: string }): string {
  const { operator, quantifier, value } = parts;
  if (operator === "is") {
    if (!/^(null|not_null|true|false|unknown)$/i.test(value)) throw unreadable(`failed to parse filter (is.${value})`);
    return `is ${value.toLowerCase().replace("_", " ")}`;
  }
  if (operator === "in") {
    if (!/^\(.*\)$/s.test(value)) throw unreadable(`failed to parse filter (in.${value})`);
    return `= any (${literal(arrayLiteral(splitList(value.slice(1, -1))))})`;
  }
  const sql = OPERATORS[operator];
  if (sql === undefined) throw unreadable(`failed to parse filter (${operator}.${value})`);
  const wildcards = operator.endsWith("like") ? value.replaceAll("*", "%") : value;
  return `${sql} ${quantifier ? `${quantifier} (${literal(wildcards)})` : literal(wildcards)}`;
}

/** `or=(a.eq.1,and(b.gt.2,c.is.null))`. */
function logic(name: string, text: string): string {
  const [negated, operator] = name.startsWith("not.") ? ["not ", name.slice(4)] : ["", name];
  if (!/^\(.*\)$/s.test(text)) throw unreadable(`failed to parse logic tree (${text})`);
  const terms = splitList(text.slice(1, -1)).map((term) => {
    const nested = /^((?:not\.)?(?:and|or))(\(.*\))$/s.exec(term);
    if (nested) return logic(nested[1]!, nested[2]!);
    const plain = /^([^.]+)\.(.*)$/s.exec(term);
    if (!plain) throw unreadable(`failed to parse logic tree (${text})`);
    return filter(plain[1]!, plain[2]!);
  });
  return `${negated}(${terms.join(` ${operator} `)})`;
}

function selectList(text: string): string {
  if (text.trim() === "" || text.trim() === "*") return "*";
  return splitList(text).map((item) => {
    if (item === "*") return "*";
    const match = /^(?:([^:()]+):(?!:))?([^:()]+)(?:::([a-z0-9_ []+\]?))?$/i.exec(item);
    if (!match) {
      throw new RestError(400, {
        code: "PGRST127",
        details: `select=${item}`,
        hint: null,
        message: "Feature not implemented",
      });
    }
    const [, alias, path = "", cast] = match;
    const name = alias ?? path.split(/->>?/).at(-1)!;
    return `${columnPath(path)}${cast ? `::${cast}` : ""} as ${identifier(name)}`;
  }).join(", ");
}

function orderList(text: string): string {
  if (text === "") return "";
  const terms = splitList(text).map((term) => {
    const match = /^(.+?)(?:\.(asc|desc))?(?:\.(nullsfirst|nullslast))?$/.exec(term);
    const [, column = "", direction = "asc", nulls] = match ?? [];
    return `${columnPath(column)} ${direction}${nulls ? ` nulls ${nulls.slice(5)}` : ""}`;
  });
  return `order by ${terms.join(", ")}`;
}

/** `progress->bytes_done`, `progress->>phase`. */
function columnPath(text: string): string {
  const [column = "", ...path] = text.trim().split(/(->>?)/);
  let sql = identifier(column.trim());
  for (let index = 0; index < path.length; index += 2) {
    const key = path[index + 1]!;
    sql += `${path[index]}${/^-?\d+$/.test(key) ? key : literal(key)}`;
  }
  return sql;
}

/** Splits at commas outside quotes and parentheses: `a,"b,c",or(d,e)`. */
function splitList(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quoted = false;
  let part = "";
  for (let index = 0; index < text.length; index++) {
    const character = text[index]!;
    if (quoted && character === "\\") part += character + (text[++index] ?? "");
    else if (character === "," && depth === 0 && !quoted) {
      parts.push(part);
      part = "";
    } else {
      if (character === '"') quoted = !quoted;
      if (!quoted && "({[".includes(character)) depth++;
      if (!quoted && ")}]".includes(character)) depth--;
      part += character;
    }
  }
  if (part !== "" || parts.length > 0) parts.push(part);
  return parts;
}

function arrayLiteral(values: readonly string[]): string {
  const quote = (value: string) =>
    /^".*"$/s.test(value) ? value : `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  return `{${values.map(quote).join(",")}}`;
}

function count(url: URL, name: string): number {
  const text = url.searchParams.get(name)!;
  if (!/^\d{1,15}$/.test(text)) throw unreadable(`failed to parse ${name} (${text})`);
  return Number(text);
}

function refuseNul(text: string): void {
  if (text.includes("\0")) throw unreadable("unexpected \\NUL");
}

function unreadable(message: string): RestError {
  return new RestError(400, {
    code: "PGRST100",
    details: message,
    hint: null,
    message: `"${message}" (line 1, column 1)`,
  });
}
