// Fills the unresolved parts of a request or a URL with values of earlier responses.
// Example: new ResponseValues().add({ data: { token: "x" } }).fill(new Unresolved("t.data.token")) → "x".
import { FormValue, isObject, JsonText, objectOf, Pattern, plus, Unresolved, type Value } from "../script/values.ts";

const MAX_NODES = 5000;
const MAX_DEPTH = 10;

export class ResponseValues {
  readonly #json: Value[] = [];
  #text: string | null = null;
  readonly #nowMs: number;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  add(response: Value): void {
    if (typeof response === "string") this.#text = response.trim();
    else this.#json.unshift(response);
  }

  /** Whether all parts are known is for `isComplete` to say. */
  fill(value: Value, depth = 0): Value {
    if (depth > MAX_DEPTH) return value;
    if (value instanceof Unresolved) return this.#valueOf(value);
    if (value instanceof Pattern) return value.parts.map((part) => this.fill(part, depth + 1)).reduce(plus);
    if (value instanceof JsonText) return new JsonText(this.fill(value.value, depth + 1));
    if (Array.isArray(value)) return value.slice(0, MAX_NODES).map((item) => this.fill(item, depth + 1));
    if (value instanceof FormValue) {
      const form = new FormValue();
      for (const [name, inner] of Object.entries(value.fields)) form.fields[name] = this.fill(inner, depth + 1);
      return form;
    }
    if (!isObject(value)) return value;
    return objectOf(Object.entries(value).map(([name, inner]) => [name, this.fill(inner, depth + 1)]));
  }

  /** `t.data.token` is the property `token` of the newest response that has one; `data` alone is a response's text. */
  #valueOf(value: Unresolved): Value {
    const names = value.path.split(".");
    const last = names.at(-1)!;
    if (
      /^(?:Date\.now\(\)|Date\(\)|new Date\(\)|getTime\(\)|new Date\(\)\.getTime\(\))$/.test(value.path) ||
      last === "getTime()"
    ) return this.#nowMs;
    if (value.path === "Math.random()") return 0.5;
    if (last !== "" && !last.endsWith("()")) {
      for (const json of this.#json) {
        const found = deepFind(json, last);
        if (found !== undefined) return found;
      }
    }
    return value.isParameter && names.length === 1 && this.#text !== null ? this.#text : value;
  }
}

export function isComplete(value: Value): boolean {
  if (value instanceof Unresolved || value instanceof Pattern) return false;
  if (value instanceof JsonText) return isComplete(value.value);
  if (value instanceof FormValue) return Object.values(value.fields).every(isComplete);
  if (Array.isArray(value)) return value.every(isComplete);
  return !isObject(value) || Object.values(value).every(isComplete);
}

/** A property with a text or a number, breadth first. */
function deepFind(root: Value, name: string): string | number | undefined {
  const queue: Value[] = [root];
  for (let next = 0; next < queue.length && next < MAX_NODES; next++) {
    const value = queue[next]!;
    if (!isObject(value) && !Array.isArray(value)) continue;
    const found = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
    if (typeof found === "string" || typeof found === "number") return found;
    for (const inner of Object.values(value)) if (typeof inner === "object" && inner !== null) queue.push(inner);
  }
  return undefined;
}

/** The JSON of a complete value. */
export function jsonOf(value: Value): string {
  return JSON.stringify(value, (_key, inner) => inner instanceof JsonText ? inner.value : inner);
}
