// The calls of a script that have a constant result, computed here: `atob("…")`, `JSON.parse("…")`, `"…".split("").reverse().join("")`.
// Example: callConstant({ path: "atob", args: ["YQ=="], … }, context) → { value: "a", via: VIA.base64 }. The script itself is never run.
import { type ElementLookup, elementMember, isElementQuery, isListQuery, selectorOf } from "./elements.ts";
import { type ScriptRecord, VIA } from "./record.ts";
import { textMethod } from "./text.ts";
import type { WorkBudget } from "../page/parse_budget.ts";
import { ElementValue, FormValue, isObject, JsonText, objectOf, propertyOf, Unresolved, type Value } from "./values.ts";

export interface CallToFold {
  readonly path: string;
  /** The object of a method. */
  readonly owner: Value | undefined;
  readonly name: string | undefined;
  readonly args: readonly Value[];
}

export interface CallTools {
  readonly record: ScriptRecord;
  readonly work: WorkBudget;
  readonly elements: ElementLookup;
}

export interface Folded {
  readonly value?: Value;
  readonly via: number;
}

const NOTHING: Folded = { via: 0 };
const MAX_RECORDED_TEXTS = 64;
const RUNS_TEXT = new Set(["eval", "Function", "new Function", "setTimeout", "execScript"]);
const ADDS_TEXT = new Set(["write", "writeln", "html", "append", "prepend", "insertAdjacentHTML"]);

/** `value` is undefined if the call has no constant result. */
export function callConstant(call: CallToFold, tools: CallTools): Folded {
  const { path, owner, name, args } = call;
  const [first] = args;
  const text = typeof first === "string" ? first : null;
  if (text !== null) tools.work.spend(text.length);
  if (isElementQuery(path) && text !== null) {
    const tag = tools.elements(selectorOf(path, text));
    if (tag === null) return NOTHING;
    return { value: isListQuery(path) ? [new ElementValue(tag)] : new ElementValue(tag), via: 0 };
  }
  if (owner !== undefined && name !== undefined) {
    const value = methodResult(owner, name, args, tools);
    if (value !== undefined) return { value, via: 0 };
  }
  if (text !== null) noteText(path, name ?? path, text, tools.record);
  switch (path) {
    case "atob":
      return text === null ? NOTHING : { value: fromBase64(text) ?? new Unresolved("atob()"), via: VIA.base64 };
    case "JSON.parse":
    case "$.parseJSON":
      return first instanceof JsonText ? { value: first.value, via: VIA.json } : parseJson(text);
    case "JSON.stringify":
      return first === undefined ? NOTHING : { value: new JsonText(first), via: 0 };
    case "decodeURIComponent":
    case "decodeURI":
    case "unescape":
      return text === null ? NOTHING : { value: decodePercent(text), via: 0 };
    case "encodeURIComponent":
    case "encodeURI":
      return text === null ? NOTHING : { value: encodePercent(text, path), via: 0 };
    case "String":
    case "new String":
      return first === undefined ? NOTHING : { value: typeof first === "number" ? String(first) : first, via: 0 };
    case "String.fromCharCode":
      return args.every((code) => typeof code === "number") ? { value: String.fromCharCode(...args), via: 0 } : NOTHING;
    case "escape":
      return text === null ? NOTHING : { value: latinPercent(text), via: 0 };
    case "Object.assign":
    case "$.extend":
    case "jQuery.extend":
      return { value: objectOf(args.filter(isObject).flatMap((one) => Object.entries(one).slice(0, 200))), via: 0 };
    case "new URL":
      return { value: urlText(args), via: 0 };
    case "new FormData":
      return { value: new FormValue(), via: 0 };
    case "new URLSearchParams":
      return { value: isObject(first) ? first : queryObject(text), via: 0 };
    default:
      return NOTHING;
  }
}

/** The value of a member; undefined if it is not known. */
export function memberOf(owner: Value, name: string): Value | undefined {
  if (owner instanceof ElementValue) return elementMember(owner.tag, name);
  // `new URL(…)` is kept as its text.
  if (typeof owner === "string" && name === "href") return owner;
  return propertyOf(owner, name);
}

function methodResult(owner: Value, name: string, args: readonly Value[], tools: CallTools): Value | undefined {
  if (typeof owner === "string" || Array.isArray(owner)) {
    tools.work.spend(owner.length);
    return textMethod(owner, name, args);
  }
  const [first, second] = args;
  if (owner instanceof Unresolved) return undefined;
  if (owner instanceof ElementValue && typeof first === "string" && /^(?:getAttribute|attr|data|prop)$/.test(name)) {
    return owner.tag.attributes.get(name === "data" ? `data-${first}` : first.toLowerCase());
  }
  if (owner instanceof ElementValue && args.length === 0 && /^(?:val|text|html)$/.test(name)) {
    return elementMember(owner.tag, name === "val" ? "value" : "textContent");
  }
  if (/^(?:append|set)$/.test(name) && typeof first === "string" && second !== undefined) {
    if (owner instanceof FormValue) owner.fields[first] = second;
    else if (isObject(owner)) owner[first] = second;
    else return undefined;
    return null;
  }
  if (isObject(owner) && name === "get" && typeof first === "string") return propertyOf(owner, first);
  return isObject(owner) && name === "toString" ? owner : undefined;
}

/** Keeps what the script runs or adds to the page. */
function noteText(path: string, name: string, text: string, { code, markup }: ScriptRecord): void {
  if (RUNS_TEXT.has(path)) {
    if (code.length < MAX_RECORDED_TEXTS) code.push(text);
  } else if (ADDS_TEXT.has(name) && text.includes("<")) {
    if (markup.length < MAX_RECORDED_TEXTS) markup.push(text);
  }
}

/** The text of base64 or base64url, with or without padding; null if it is neither. */
export function fromBase64(text: string): string | null {
  const plain = text.replace(/\s+/g, "").replaceAll("-", "+").replaceAll("_", "/").replace(/=+$/, "");
  if (!/^[A-Za-z0-9+/]+$/.test(plain) || plain.length % 4 === 1) return null;
  return atob(plain);
}

export function parseJson(text: string | null): Folded {
  if (text === null) return NOTHING;
  try {
    return { value: JSON.parse(text), via: VIA.json };
  } catch {
    return NOTHING; // an unresolved value, like any other that the script computes
  }
}

/** Percent-encoding of UTF-8; leaves a text that has none as it is. */
export function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  }
}

function encodePercent(text: string, path: string): string {
  try {
    return path === "encodeURI" ? encodeURI(text) : encodeURIComponent(text);
  } catch {
    return text; // half of a surrogate pair
  }
}

/** `escape` of characters below 256, which `decodeURIComponent(escape(atob("…")))` turns into UTF-8. */
function latinPercent(text: string): string {
  return text.replace(/[^\w@*+./-]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

function urlText([reference, base]: readonly Value[]): Value {
  if (typeof reference !== "string") return reference ?? new Unresolved("");
  if (typeof base !== "string" || !URL.canParse(reference, base)) return reference;
  return new URL(reference, base).href;
}

function queryObject(text: string | null): Value {
  return objectOf(text === null ? [] : [...new URLSearchParams(text)].slice(0, 100));
}
