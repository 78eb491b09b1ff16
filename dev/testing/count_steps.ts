/**
 * Counts the work of a parser in characters examined and calls made: the same number on any machine, under any load.
 * `await countSteps(() => parsePlaylist(text, base))`. Regular expressions count as one pass over their input.
 */

// deno-lint-ignore no-explicit-any
type Method = (this: any, ...args: any[]) => any;
type Cost = (self: string, args: readonly unknown[], result: unknown) => number;

/** Length that a search examined. */
const scanned: Cost = (self, args, result) => {
  const from = Number(args[1] ?? 0);
  return 1 + (result === -1 ? self.length - from : Number(result) - from);
};
const whole: Cost = (self) => 1 + self.length;
const one: Cost = () => 1;

const STRING_COSTS: Readonly<Record<string, Cost>> = {
  charCodeAt: one,
  indexOf: scanned,
  lastIndexOf: (self, args, result) =>
    1 + Math.min(self.length, Number(args[1] ?? self.length)) - Math.max(0, Number(result)),
  startsWith: (_self, args) => 1 + String(args[0]).length,
  endsWith: (_self, args) => 1 + String(args[0]).length,
  includes: whole,
  slice: one,
  substring: one,
  trim: (self, _args, result) => 1 + self.length - String(result).length,
  split: whole,
  match: whole,
  replace: whole,
  replaceAll: whole,
  toWellFormed: whole,
};

/** Must not run concurrently: it replaces methods that all code uses. */
export async function countSteps(run: () => unknown): Promise<number> {
  let steps = 0;
  // The work inside a counted call is included in its cost.
  let inside = false;
  const undo: (() => void)[] = [];
  const count = (
    // deno-lint-ignore no-explicit-any
    target: any,
    name: string,
    cost: (self: unknown, args: unknown[], result: unknown, from: number) => number,
  ) => {
    const original: Method = target[name];
    undo.push(() => target[name] = original);
    target[name] = function (this: unknown, ...args: unknown[]) {
      if (inside) return original.apply(this, args);
      inside = true;
      try {
        const from = this instanceof RegExp ? this.lastIndex : 0;
        const result = original.apply(this, args);
        steps += cost(this, args, result, from);
        return result;
      } finally {
        inside = false;
      }
    };
  };
  /** A URL parser does more per call than a comparison. */
  const PARSER_CALL = 20;
  const parsed = (_self: unknown, args: unknown[]) => PARSER_CALL + String(args[0]).length;
  const input = (_self: unknown, args: unknown[]) => 1 + String(args[0]).length;
  for (const [name, cost] of Object.entries(STRING_COSTS)) {
    count(String.prototype, name, (self, args, result) => cost(String(self), args, result));
  }
  count(RegExp.prototype, "test", (self, args, result, from) => {
    const { global, sticky, lastIndex } = self as RegExp;
    const text = String(args[0]);
    if (result === true && (global || sticky)) return 1 + lastIndex - from;
    // A sticky pattern that fails has examined at most its line, because none here matches a newline.
    const lineEnd = sticky ? text.indexOf("\n", from) : -1;
    return 1 + (lineEnd === -1 ? text.length : lineEnd) - from;
  });
  // One after the other: in matchAll, each match starts where the previous one ended.
  count(RegExp.prototype, "exec", (_self, args, result, from) => {
    const match = result as RegExpExecArray | null;
    return 1 + (match === null ? String(args[0]).length : match.index + match[0].length) - from;
  });
  for (const name of ["parse", "canParse"]) count(URL, name, parsed);
  for (const name of ["find", "findIndex", "indexOf", "includes", "some", "every", "map", "filter"]) {
    count(Array.prototype, name, (self) => 1 + (self as unknown[]).length);
  }
  count(globalThis, "encodeURIComponent", input);
  const OriginalUrl = globalThis.URL;
  undo.push(() => globalThis.URL = OriginalUrl);
  globalThis.URL = new Proxy(OriginalUrl, {
    construct(target, args, newTarget) {
      steps += parsed(null, args);
      return Reflect.construct(target, args, newTarget);
    },
  });
  try {
    await run();
    return steps;
  } finally {
    for (const one of undo) one();
  }
}
