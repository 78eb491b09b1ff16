// Values of a script's expressions, as far as they follow from its literals. Nothing is executed.
// Example: "/api/" + id, with an unknown id → Pattern(["/api/", Unresolved("id")]).
import type { Tag } from "../page/tags.ts";

/** A value that only running the script would give. */
export class Unresolved {
  /** How the script names it: `data.url`, `token`, `getUrl()`. */
  readonly path: string;
  /** Belongs to a parameter of a function: a variable of the same name is another one. */
  readonly isParameter: boolean;
  /** Strings in the calls that made it, such as the id in `jwplayer("player")`. */
  readonly target: string;

  constructor(path: string, { isParameter = false, target = "" } = {}) {
    this.path = path;
    this.isParameter = isParameter;
    this.target = target;
  }
}

/** A text with unresolved parts. */
export class Pattern {
  readonly parts: readonly (string | Unresolved)[];

  constructor(parts: readonly (string | Unresolved)[]) {
    this.parts = parts;
  }
}

/** The result of `JSON.stringify`, kept as the value because parts of it may be unresolved. */
export class JsonText {
  readonly value: Value;

  constructor(value: Value) {
    this.value = value;
  }
}

export class FunctionValue {
  readonly parameters: readonly string[];
  /** The statements; of an arrow function with an expression, that with `return`. */
  readonly body: string;
  /** What it returns if nothing is known about its arguments. */
  readonly returns: Value;

  constructor(parameters: readonly string[], body: string, returns: Value) {
    this.parameters = parameters;
    this.body = body;
    this.returns = returns;
  }
}

export class RegExpValue {
  readonly source: string;
  readonly flags: string;

  constructor({ source, flags }: { readonly source: string; readonly flags: string }) {
    this.source = source;
    this.flags = flags;
  }
}

/** An element of the page that a script looks up. */
export class ElementValue {
  readonly tag: Tag;

  constructor(tag: Tag) {
    this.tag = tag;
  }
}

/** `new FormData()`, with what is appended to it. */
export class FormValue {
  readonly fields: Record<string, Value> = Object.create(null);
}

export interface ScriptObject {
  [key: string]: Value;
}

export type Value =
  | string
  | number
  | boolean
  | null
  | Unresolved
  | Pattern
  | JsonText
  | FunctionValue
  | RegExpValue
  | ElementValue
  | FormValue
  | Value[]
  | ScriptObject;

export const UNKNOWN = new Unresolved("");
const MAX_TEXT = 1024 * 1024;
const MAX_PARTS = 64;

export function isObject(value: Value | undefined): value is ScriptObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** The property of an object, an array or a string; undefined if it has none. */
export function propertyOf(value: Value, name: string): Value | undefined {
  if (typeof value === "string" && name === "length") return value.length;
  if (Array.isArray(value) && name === "length") return value.length;
  if (!Array.isArray(value) && !isObject(value)) return undefined;
  return Object.hasOwn(value, name) ? (value as ScriptObject)[name] : undefined;
}

export function objectOf(entries: Iterable<readonly [string, Value]> = []): ScriptObject {
  const object: ScriptObject = Object.create(null);
  for (const [name, value] of entries) object[name] = value;
  return object;
}

/** The `+` of texts and numbers. */
export function plus(left: Value, right: Value): Value {
  if (typeof left === "number" && typeof right === "number") return left + right;
  if (typeof left === "string" && typeof right === "string") {
    return left.length + right.length > MAX_TEXT ? UNKNOWN : left + right;
  }
  const [a, b] = [partsOf(left), partsOf(right)];
  if (a === null || b === null) return UNKNOWN;
  const parts = [...a, ...b];
  if (parts.length > MAX_PARTS) return UNKNOWN;
  if (parts.some((part) => part instanceof Unresolved)) return new Pattern(parts);
  return parts.join("").slice(0, MAX_TEXT);
}

function partsOf(value: Value): readonly (string | Unresolved)[] | null {
  if (typeof value === "string" || value instanceof Unresolved) return [value];
  if (typeof value === "number" || typeof value === "boolean") return [String(value)];
  return value instanceof Pattern ? value.parts : null;
}

/** The results of `-`, `*`, `/` and `%` of numbers. */
export function arithmetic(operator: string, left: Value, right: Value): Value {
  if (typeof left !== "number" || typeof right !== "number") return UNKNOWN;
  switch (operator) {
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return left / right;
    case "%":
      return left % right;
    case "^":
      return left ^ right;
    default:
      return UNKNOWN;
  }
}

/** Whether the value follows from the script and is neither empty, false nor null. */
export function isPresent(value: Value): boolean {
  return !(value instanceof Unresolved) && value !== null && value !== "" && value !== false && value !== 0;
}
