// Methods of strings and arrays with a constant result. Example: textMethod("cba", "split", [""]) → ["c", "b", "a"].
import { plus, RegExpValue, UNKNOWN, type Value } from "./values.ts";

const MAX_TEXT = 1024 * 1024;
const MAX_ITEMS = 100_000;

/** Undefined if the method or its arguments are not known. */
export function textMethod(owner: string | readonly Value[], name: string, args: readonly Value[]): Value | undefined {
  return typeof owner === "string" ? stringMethod(owner, name, args) : arrayMethod(owner, name, args);
}

function stringMethod(text: string, name: string, args: readonly Value[]): Value | undefined {
  const [first, second] = args;
  const numbers = args.every((arg) => typeof arg === "number");
  switch (name) {
    case "split":
      return first === undefined ? [text] : typeof first === "string" ? text.split(first, MAX_ITEMS) : undefined;
    case "replace":
    case "replaceAll":
      return replaced(text, first, second, name === "replaceAll");
    case "concat":
      return args.reduce(plus, text);
    case "trim":
    case "toString":
    case "valueOf":
      return name === "trim" ? text.trim() : text;
    case "toLowerCase":
      return text.toLowerCase();
    case "toUpperCase":
      return text.toUpperCase();
    case "charAt":
      return typeof first === "number" ? text.charAt(first) : undefined;
    case "charCodeAt":
      return typeof first === "number" && first < text.length ? text.charCodeAt(first) : undefined;
    case "slice":
      return numbers ? text.slice(...(args as [number, number])) : undefined;
    case "substring":
      return numbers ? text.substring(...(args as [number, number])) : undefined;
    case "substr":
      return numbers ? substr(text, args as readonly number[]) : undefined;
    default:
      return undefined;
  }
}

function substr(text: string, [from = 0, length = Infinity]: readonly number[]): string {
  const start = from < 0 ? Math.max(0, text.length + from) : from;
  return text.slice(start, start + length);
}

/** Regular expressions are not run, apart from those for one character: /\\/g, /[-_]/. */
function replaced(text: string, what: Value | undefined, by: Value | undefined, all: boolean): string | undefined {
  if (typeof by !== "string" || by.length > 100) return undefined;
  if (typeof what === "string") {
    const result = all ? text.split(what).join(by) : text.replace(what, () => by);
    return result.length > MAX_TEXT ? undefined : result;
  }
  if (!(what instanceof RegExpValue) || !/^(?:\\?[^\w\\()[\]]|\\\\|\w|\[[^\]\\]{1,20}\]|\\s)\+?$/.test(what.source)) {
    return undefined;
  }
  if (by.includes("$") || text.length * (by.length + 1) > MAX_TEXT) return undefined;
  try {
    return text.replace(new RegExp(what.source, what.flags.replace(/[^gi]/g, "")), by);
  } catch {
    return undefined; // not a valid expression
  }
}

function arrayMethod(items: readonly Value[], name: string, args: readonly Value[]): Value | undefined {
  const [first] = args;
  switch (name) {
    case "join":
      return items.every((item) => typeof item === "string" || typeof item === "number")
        ? joined(items, first === undefined ? "," : first)
        : undefined;
    case "reverse":
      return items.toReversed();
    case "concat":
      return items.length + args.length > MAX_ITEMS ? UNKNOWN : [...items, ...args.flat()].slice(0, MAX_ITEMS);
    case "slice":
      return args.every((arg) => typeof arg === "number") ? items.slice(...(args as [number, number])) : undefined;
    case "filter":
    case "sort":
      return [...items];
    case "pop":
    case "at":
      return items.at(typeof first === "number" ? first : -1);
    case "shift":
      return items[0];
    default:
      return undefined;
  }
}

function joined(items: readonly Value[], separator: Value): string | undefined {
  if (typeof separator !== "string" || separator.length > 100) return undefined;
  const text = items.join(separator);
  return text.length > MAX_TEXT ? undefined : text;
}
