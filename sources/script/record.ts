// What a page's scripts do that matters for media: calls, assignments and the values of variables.
// Example: `const u = atob("…"); player.src(u)` → calls [{ path: "player.src", args: ["https://…"], via: VIA.variable | VIA.base64 }].
import {
  ElementValue,
  FormValue,
  FunctionValue,
  isObject,
  JsonText,
  objectOf,
  Pattern,
  plus,
  propertyOf,
  Unresolved,
  type Value,
} from "./values.ts";
import type { WorkBudget } from "../page/parse_budget.ts";

/** How a value reached its place; bits of a set. */
export const VIA = { variable: 1, base64: 2, json: 4, function: 8 } as const;

export interface Call {
  /** `jwplayer().setup`, `new Plyr`, `$.ajax`. */
  readonly path: string;
  readonly args: readonly Value[];
  readonly via: number;
  /** The element it is about, as far as the script names it: `player` in `jwplayer("player").setup(…)`. */
  readonly target: string;
}

export interface Assignment {
  readonly path: string;
  readonly value: Value;
  readonly via: number;
  readonly target: string;
}

const MAX_RECORDS = 4000;
const MAX_SETTLE_DEPTH = 12;

export class ScriptRecord {
  readonly calls: Call[] = [];
  readonly assignments: Assignment[] = [];
  /** Strings that the script runs as a script: `eval(atob("…"))`. */
  readonly code: string[] = [];
  /** Strings that the script adds to the page as HTML. */
  readonly markup: string[] = [];

  addCall(call: Call): void {
    if (this.calls.length < MAX_RECORDS) this.calls.push(call);
  }

  addAssignment(assignment: Assignment): void {
    if (this.assignments.length < MAX_RECORDS) this.assignments.push(assignment);
  }

  /** Where the next call and assignment will be. */
  mark(): RecordMark {
    return { calls: this.calls.length, assignments: this.assignments.length };
  }

  /** Fills in what the scripts define later in their text: functions and variables may be used before. */
  settle(scope: ScriptScope, work: WorkBudget, from: RecordMark = { calls: 0, assignments: 0 }): void {
    const settler = new Settler(scope, work);
    for (let index = from.calls; index < this.calls.length; index++) {
      const call = this.calls[index]!;
      this.calls[index] = { ...call, args: call.args.map((arg) => settler.settle(arg)) };
    }
    for (let index = from.assignments; index < this.assignments.length; index++) {
      const assignment = this.assignments[index]!;
      this.assignments[index] = { ...assignment, value: settler.settle(assignment.value) };
    }
  }
}

export interface RecordMark {
  readonly calls: number;
  readonly assignments: number;
}

export class ScriptScope {
  readonly #values = new Map<string, Value>();

  get(path: string): Value | undefined {
    return this.#values.get(path);
  }

  set(path: string, value: Value): void {
    if (this.#values.size < MAX_RECORDS || this.#values.has(path)) this.#values.set(path, value);
  }

  delete(path: string): void {
    this.#values.delete(path);
  }
}

class Settler {
  readonly #scope: ScriptScope;
  readonly #work: WorkBudget;
  readonly #settled = new Map<Value, Value>();

  constructor(scope: ScriptScope, work: WorkBudget) {
    this.#scope = scope;
    this.#work = work;
  }

  settle(value: Value, depth = 0): Value {
    this.#work.spend(1);
    if (!mayChange(value) || depth > MAX_SETTLE_DEPTH) return value;
    const known = this.#settled.get(value);
    if (known !== undefined) return known;
    this.#settled.set(value, value); // until it is known: a value may contain itself
    const settled = this.#inner(value, depth + 1);
    this.#settled.set(value, settled);
    return settled;
  }

  #inner(value: Value, depth: number): Value {
    if (value instanceof Unresolved) return this.#later(value, depth);
    if (value instanceof Pattern) return value.parts.map((part) => this.settle(part, depth)).reduce(plus);
    if (value instanceof JsonText) return new JsonText(this.settle(value.value, depth));
    if (Array.isArray(value)) {
      this.#work.spend(value.length);
      return value.map((item) => this.settle(item, depth));
    }
    if (!isObject(value)) return value;
    const settled = objectOf();
    for (const [name, item] of Object.entries(value)) {
      this.#work.spend(1);
      settled[name] = this.settle(item, depth);
    }
    return settled;
  }

  #later(value: Unresolved, depth: number): Value {
    if (value.isParameter || value.path === "") return value;
    const found = this.#scope.get(value.path) ?? this.#member(value.path);
    if (found === undefined || found instanceof FunctionValue || found instanceof Unresolved) return value;
    return this.settle(found, depth);
  }

  /** `config.file` and `getUrl().file`, by the variable or the function that the path begins with. */
  #member(path: string): Value | undefined {
    const [root = "", ...names] = path.split(".");
    const isCall = root.endsWith("()");
    let found = this.#scope.get(isCall ? root.slice(0, -2) : root);
    if (isCall) found = found instanceof FunctionValue ? found.returns : undefined;
    for (const name of names) found = found === undefined ? undefined : propertyOf(found, name);
    return found;
  }
}

function mayChange(value: Value): boolean {
  return typeof value === "object" && value !== null && !(value instanceof ElementValue) &&
    !(value instanceof FormValue);
}
