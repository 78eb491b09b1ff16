// Reads the expressions of a script, as far as they consist of literals. What is not valid is passed over: a page may be cut off.
// Example: `"/api/" + ids[0]` → "/api/7", if the script has set `ids = [7]`.
import type { WorkBudget } from "../page/parse_budget.ts";
import { callConstant, memberOf } from "./calls.ts";
import type { ElementLookup } from "./elements.ts";
import { type ScriptRecord, type ScriptScope, VIA } from "./record.ts";
import { ScriptScanner } from "./scanner.ts";
import {
  arithmetic,
  ElementValue,
  FunctionValue,
  isObject,
  isPresent,
  plus,
  RegExpValue,
  UNKNOWN,
  Unresolved,
  type Value,
} from "./values.ts";

export interface ScriptContext {
  readonly scope: ScriptScope;
  readonly record: ScriptRecord;
  readonly work: WorkBudget;
  readonly elements: ElementLookup;
  /** Functions by name, where their parameters begin: they may be called before the text defines them. */
  readonly hoisted: Map<string, { readonly text: string; readonly at: number }>;
  /** How much of functions' bodies may still be read again with the arguments of a call. */
  readonly applications: { left: number; depth: number };
}

export const MAX_DEPTH = 120;
/** Names and parts of names beyond it are dropped. */
export const MAX_PATH = 120;
export const MAX_ITEMS = 5000;
const MAX_MAPPED = 1000;
const WORD_OPERATORS = new Set(["in", "of", "instanceof"]);
/** Length that tells `instanceof` from a longer word. */
const MAX_WORD_OPERATOR = 12;
const PREFIXES = new Set(["typeof", "void", "delete", "yield"]);
const CONSTANTS: Readonly<Record<string, Value>> = { true: true, false: false, null: null, undefined: null };
/** What the global object is called; its members are the variables. */
const GLOBALS = new Set(["window", "self", "globalThis", "top", "parent", "this"]);

/** A value, and how the script names its place. */
interface Reference {
  readonly value: Value;
  readonly path: string;
  /** The object of a member. */
  readonly owner?: Value;
  readonly name?: string;
}

/** Statements, functions and objects are left to the subclass. */
export abstract class ExpressionReader {
  protected readonly scanner: ScriptScanner;
  protected readonly context: ScriptContext;
  protected depth = 0;
  protected via = 0;
  /** The path of the expression read last, if it is nothing but a path. */
  protected lastPath = "";

  /** @throws {SourceError} `too_large` if the work exceeds the budget */
  constructor(text: string, context: ScriptContext) {
    this.scanner = new ScriptScanner(text);
    this.context = context;
  }

  /** After `function`. */
  protected abstract functionValue(): Value;
  /** After the opening brace. */
  protected abstract objectValue(): Value;
  /** The value of a call with these arguments; undefined if it is not known. */
  protected abstract apply(callee: Value, path: string, args: readonly Value[]): Value | undefined;
  /** After the arrow. */
  protected abstract arrowFunction(parameters: readonly string[]): Value;

  protected nested<T>(read: () => T): T {
    this.depth++;
    const value = read();
    this.depth--;
    return value;
  }

  protected expression(first?: string): Value {
    this.context.work.spend(1);
    this.lastPath = "";
    if (this.depth >= MAX_DEPTH) {
      if (first === undefined) this.scanner.at++;
      return UNKNOWN;
    }
    return this.nested(() => {
      const value = this.#alternatives(first);
      if (this.scanner.peek() !== "?") return value;
      this.scanner.at++;
      const [yes, no] = [this.expression(), this.scanner.take(":") ? this.expression() : UNKNOWN];
      this.lastPath = "";
      if (typeof value === "boolean") return value ? yes : no;
      return isPresent(yes) ? yes : no;
    });
  }

  #alternatives(first?: string): Value {
    const scanner = this.scanner;
    let value = this.#operation(first);
    for (;;) {
      scanner.peek();
      const isAnd = scanner.startsWith("&&");
      if (!isAnd && !scanner.startsWith("||") && !scanner.startsWith("??")) return value;
      scanner.at += 2;
      if (scanner.startsWith("=")) scanner.at++;
      const right = this.#operation();
      if (isAnd || !isPresent(value)) value = right instanceof Unresolved && !isAnd ? value : right;
      this.lastPath = "";
    }
  }

  /** Terms and comparisons. */
  #operation(first?: string): Value {
    const scanner = this.scanner;
    let value = this.#term(first);
    for (let next = scanner.peek(); next !== "" && "+-<>=!&|^io".includes(next); next = scanner.peek()) {
      if (scanner.startsWith("&&") || scanner.startsWith("||")) break;
      if (next === "i" || next === "o") {
        if (!WORD_OPERATORS.has(this.#peekWord())) break;
        scanner.word();
      } else this.#takeOperator();
      const right = this.#term();
      value = next === "+" ? plus(value, right) : next === "=" ? right : arithmetic(next, value, right);
      this.lastPath = "";
    }
    return value;
  }

  #term(first?: string): Value {
    const scanner = this.scanner;
    let value = this.#unary(first);
    for (let next = scanner.peek(); next !== "" && "*/%".includes(next); next = scanner.peek()) {
      this.#takeOperator();
      value = arithmetic(next, value, this.#unary());
      this.lastPath = "";
    }
    return value;
  }

  #takeOperator(): void {
    const { scanner } = this;
    scanner.at++;
    while (scanner.startsWith("=") || scanner.startsWith("<") || scanner.startsWith(">")) scanner.at++;
  }

  #unary(first?: string): Value {
    const scanner = this.scanner;
    let word = first;
    let operator = "";
    let count = 0;
    let isNew = false;
    for (;; count++) {
      const next = word === undefined ? scanner.peek() : "";
      if (next !== "" && "!-+~".includes(next)) {
        operator = next;
        scanner.at++;
        continue;
      }
      if (next === "." && scanner.startsWith("...")) {
        scanner.at += 3;
        continue;
      }
      word ??= scanner.word() ?? undefined;
      if (word === "new") isNew = true;
      else if (word !== undefined && PREFIXES.has(word)) operator = word;
      else if (word !== "await" && word !== "async") break;
      word = undefined;
    }
    const value = this.#postfix(this.#primary(word), isNew);
    if (operator === "" || (operator === "-" && count === 1 && typeof value === "number")) {
      return operator === "-" ? -Number(value) : value;
    }
    if (operator === "!" && typeof value === "number") return (count % 2 === 1) !== (value !== 0);
    return UNKNOWN;
  }

  #postfix(start: Reference, isNew: boolean): Value {
    const scanner = this.scanner;
    let at = start;
    for (;;) {
      const next = scanner.peek();
      if (next === "?" && scanner.startsWith("?.")) {
        scanner.at += 2;
        const after = scanner.peek();
        if (after !== "[" && after !== "(") at = this.#member(at, scanner.word() ?? "");
      } else if (next === ".") {
        scanner.at++;
        at = this.#member(at, scanner.word() ?? "");
      } else if (next === "[") {
        scanner.at++;
        const index = this.items("]").at(-1) ?? UNKNOWN;
        at = this.#member(at, typeof index === "string" || typeof index === "number" ? String(index) : "");
      } else if (next === "(") {
        scanner.at++;
        at = this.#call(at, isNew);
        isNew = false;
      } else if (next === "`") {
        this.#primary();
        at = { value: UNKNOWN, path: "" };
      } else if ((next === "+" || next === "-") && scanner.startsWith(next + next)) {
        scanner.at += 2;
      } else if (next === "=" && scanner.startsWith("=>")) {
        scanner.at += 2;
        return this.arrowFunction(at === start ? [at.path] : []);
      } else if (next === "=" && !scanner.startsWith("==")) {
        scanner.at++;
        return this.#assign(at, () => this.expression());
      } else if (next === "+" && scanner.startsWith("+=")) {
        scanner.at += 2;
        return this.#assign(at, () => plus(at.value, this.expression()));
      } else {
        if (isNew) this.context.record.addCall({ path: `new ${at.path}`, args: [], via: 0, target: "" });
        this.lastPath = at.path;
        return at.value;
      }
    }
  }

  #primary(first?: string): Reference {
    const scanner = this.scanner;
    const word = first ?? scanner.word();
    if (word !== null) {
      if (word === "function") return { value: this.functionValue(), path: "" };
      if (Object.hasOwn(CONSTANTS, word)) return { value: CONSTANTS[word]!, path: "" };
      return this.variable(word);
    }
    const next = scanner.peek();
    if (next === '"' || next === "'") return { value: scanner.string() ?? UNKNOWN, path: "" };
    if (next === "`") return { value: this.#template(), path: "" };
    if (next === "/") {
      const expression = scanner.regExp();
      return { value: expression === null ? UNKNOWN : new RegExpValue(expression), path: "" };
    }
    if (next === "[" || next === "(" || next === "{") {
      scanner.at++;
      if (next === "[") return { value: this.items("]"), path: "" };
      if (next === "{") return { value: this.objectValue(), path: "" };
      return { value: this.#group(), path: "" };
    }
    return { value: scanner.number() ?? UNKNOWN, path: "" };
  }

  protected variable(name: string): Reference {
    if (GLOBALS.has(name)) return { value: new Unresolved(name), path: name };
    const value = this.context.scope.get(name);
    if (value === undefined) return { value: new Unresolved(name), path: name };
    if (!(value instanceof Unresolved)) this.via |= VIA.variable;
    return { value, path: name };
  }

  #member(at: Reference, name: string): Reference {
    if (at.path === "document" && name === "body") return { value: this.#element("body"), path: "document.body" };
    if (GLOBALS.has(at.path) && name !== "") return this.variable(name);
    const path = at.path.length > MAX_PATH ? "" : `${at.path}.${name}`;
    const value = memberOf(at.value, name) ?? this.context.scope.get(path) ?? unresolvedMember(at.value, path, name);
    return { value, path, owner: at.value, name };
  }

  #element(selector: string): Value {
    const tag = this.context.elements(selector);
    return tag === null ? UNKNOWN : new ElementValue(tag);
  }

  #assign(at: Reference, read: () => Value): Value {
    const outer = this.via;
    this.via = 0;
    const value = read();
    const { scope, record } = this.context;
    if (at.path !== "") {
      scope.set(at.path, value);
      record.addAssignment({ path: at.path, value, via: this.via, target: targetOf(at.owner) });
    }
    if (at.name !== undefined && at.owner !== undefined && isObject(at.owner)) at.owner[at.name] = value;
    this.via |= outer;
    this.lastPath = at.path; // the parameter of `(a = 1) => …`
    return value;
  }

  #call(at: Reference, isNew: boolean): Reference {
    const outer = this.via;
    this.via = 0;
    const args = this.items(")");
    const path = isNew ? `new ${at.path}` : at.path;
    const applied = this.apply(at.value, at.path, args);
    const result = applied === undefined ? this.#constant(at, path, args) : { value: applied, via: VIA.function };
    this.via |= result.via;
    const target = targetOf(at.owner ?? at.value);
    this.context.record.addCall({ path, args, via: this.via, target });
    this.via |= outer;
    const called = at.path.length > MAX_PATH ? "" : `${path}()`;
    return { value: result.value ?? unresolvedResult(called, at.value, [target, ...args]), path: called };
  }

  #constant(at: Reference, path: string, args: readonly Value[]) {
    const [first] = args;
    // `[104, 105].map((code) => String.fromCharCode(code))`
    if (at.name === "map" && Array.isArray(at.owner) && first instanceof FunctionValue) {
      const items = at.owner.slice(0, MAX_MAPPED).map((item, index) => this.apply(first, "", [item, index]) ?? UNKNOWN);
      return { value: items, via: 0 };
    }
    return callConstant({ path, owner: at.owner, name: at.name, args }, this.context);
  }

  /** The items of an array or of a call, up to the closing bracket. */
  protected items(end: string): Value[] {
    const scanner = this.scanner;
    const items: Value[] = [];
    for (let next = scanner.peek(); next !== ""; next = scanner.peek()) {
      if (next === end) {
        scanner.at++;
        break;
      }
      if (next === ",") scanner.at++;
      else if (next === ")" || next === "]" || next === "}" || next === ";") break;
      else {
        const before = scanner.at;
        const isSpread = scanner.startsWith("...");
        const item = this.expression();
        if (scanner.at === before) scanner.at++;
        else if (items.length < MAX_ITEMS) {
          items.push(...(isSpread && Array.isArray(item) ? item.slice(0, MAX_ITEMS) : [item]));
        }
      }
    }
    return items;
  }

  /** Parentheses: the last of their expressions, or the parameters of an arrow function. */
  #group(): Value {
    const names: string[] = [];
    let value: Value = UNKNOWN;
    const scanner = this.scanner;
    for (let next = scanner.peek(); next !== ""; next = scanner.peek()) {
      if (next === ")") {
        scanner.at++;
        break;
      }
      if (next === ",") scanner.at++;
      else if (next === "]" || next === "}" || next === ";") break;
      else {
        const before = scanner.at;
        value = this.expression();
        names.push(this.lastPath);
        if (scanner.at === before) scanner.at++;
      }
    }
    scanner.peek();
    if (!scanner.startsWith("=>")) return value;
    scanner.at += 2;
    return this.arrowFunction(names);
  }

  #template(): Value {
    this.scanner.at++;
    let value: Value = "";
    for (;;) {
      const { text, ended } = this.scanner.templatePart();
      value = plus(value, text);
      if (ended) return value;
      value = plus(value, this.items("}").at(-1) ?? UNKNOWN);
    }
  }

  #peekWord(): string {
    return /^\w*/.exec(this.scanner.ahead(MAX_WORD_OPERATOR))![0];
  }
}

/** A member is named by its object's name, if that is known. */
function unresolvedMember(owner: Value, path: string, name: string): Unresolved {
  if (!(owner instanceof Unresolved)) return new Unresolved(path);
  const isNamed = owner.path !== "" && owner.path.length <= MAX_PATH;
  return new Unresolved(isNamed ? `${owner.path}.${name}` : path, owner);
}

function unresolvedResult(path: string, callee: Value, texts: readonly Value[]): Unresolved {
  const isParameter = callee instanceof Unresolved && callee.isParameter;
  const target = texts.filter((text) => typeof text === "string" && text.length <= MAX_PATH).slice(0, 4).join(" ");
  return new Unresolved(path, { isParameter, target: target.trim().slice(0, MAX_PATH) });
}

/** The id and the classes of an element, or the strings of the calls that made the value. */
function targetOf(value: Value | undefined): string {
  if (value instanceof Unresolved) return value.target;
  return value instanceof ElementValue
    ? `${value.tag.attributes.get("id") ?? ""} ${value.tag.attributes.get("class") ?? ""}`
    : "";
}
