// Reads a script once, from its start to its end, and records its calls, assignments and variables.
// Example: new ScriptReader(`jwplayer("p").setup({file: "/a.mp4"})`, context).read() → context.record.calls.
import { ExpressionReader, MAX_DEPTH, MAX_ITEMS, MAX_PATH, type ScriptContext } from "./expressions.ts";
import { ScriptRecord } from "./record.ts";
import { FunctionValue, isObject, objectOf, type ScriptObject, UNKNOWN, Unresolved, type Value } from "./values.ts";

const STATEMENT_WORDS = new Set(
  ("break case catch continue debugger default do else export finally for if import switch throw try while with " +
    "class extends static").split(" "),
);

const FUNCTION = /\bfunction\s{1,8}([\w$]{1,60})\s{0,8}(?=\()/g;
const MAX_HOISTED = 500;
const MAX_APPLIED_BODY = 8_000;
const MAX_APPLY_DEPTH = 3;

export class ScriptReader extends ExpressionReader {
  #returned: Value = UNKNOWN;
  /** The variables that the function being read declares, with the values of those that they hide; null outside of functions. */
  #locals: [string, Value | undefined][] | null = null;
  readonly #text: string;

  constructor(text: string, context: ScriptContext) {
    super(text, context);
    this.#text = text;
  }

  /** @throws {SourceError} `too_large` if the work exceeds the budget */
  read(): void {
    this.context.work.spend(this.#text.length);
    this.#hoist();
    while (!this.scanner.ended) this.#statements();
    this.context.work.spend(this.scanner.visited);
  }

  #hoist(): void {
    const { hoisted } = this.context;
    for (const { 0: head, 1: name, index } of this.#text.matchAll(FUNCTION)) {
      if (hoisted.size >= MAX_HOISTED) return;
      hoisted.set(name!, { text: this.#text, at: index + head.length });
    }
  }

  /** Reads the function's body again, with the arguments as its parameters. */
  protected override apply(callee: Value, path: string, args: readonly Value[]): Value | undefined {
    const called = callee instanceof FunctionValue ? callee : this.#hoistedFunction(callee, path);
    if (called === null) return undefined;
    const { parameters, body, returns } = called;
    const { applications, work } = this.context;
    const isKnown = parameters.length > 0 &&
      args.some((arg) => !(arg instanceof Unresolved) && !(arg instanceof FunctionValue));
    if (!isKnown || body.length > Math.min(MAX_APPLIED_BODY, applications.left)) return returns;
    if (applications.depth >= MAX_APPLY_DEPTH) return returns;
    applications.left -= body.length;
    applications.depth++;
    work.spend(body.length);
    const reader = new ScriptReader(body, this.context);
    const { returns: result } = reader.#inFunction(parameters, () => {
      for (const [index, name] of parameters.entries()) {
        if (args[index] !== undefined) this.context.scope.set(name, args[index]);
      }
      while (!reader.scanner.ended) reader.#statements();
    });
    applications.depth--;
    return result instanceof Unresolved ? returns : result;
  }

  #hoistedFunction(callee: Value, path: string): FunctionValue | null {
    const { hoisted, scope, applications, work } = this.context;
    const place = callee instanceof Unresolved && !callee.isParameter ? hoisted.get(path) : undefined;
    if (place === undefined || applications.left <= 0) return null;
    hoisted.delete(path);
    const text = place.text.slice(place.at, place.at + MAX_APPLIED_BODY);
    applications.left -= text.length;
    work.spend(text.length);
    // Its calls are recorded when it is read in its place.
    const value = new ScriptReader(text, { ...this.context, record: new ScriptRecord() }).#method();
    scope.set(path, value);
    return value;
  }

  /** Statements up to the closing brace, which is consumed, or the end. */
  #statements(): void {
    const scanner = this.scanner;
    for (let next = scanner.peek(); next !== ""; next = scanner.peek()) {
      if (next === "{") this.#blockOrObject();
      else if (";,)]}:".includes(next)) {
        scanner.at++;
        if (next === "}") return;
      } else this.#statement();
    }
  }

  #statement(): void {
    const before = this.scanner.at;
    const word = this.scanner.word();
    if (word === "var" || word === "let" || word === "const") return this.#declarations();
    if (word !== null && STATEMENT_WORDS.has(word)) return;
    if (word === "return") this.#returned = this.expression();
    else this.expression(word ?? undefined);
    if (this.scanner.at === before) this.scanner.at++;
  }

  #declarations(): void {
    do {
      const name = this.scanner.word();
      if (name === null) return; // a pattern: `const { a } = …`
      this.#declare(name);
      this.expression(name);
    } while (this.scanner.take(","));
  }

  /** Within a function, hides the variable of that name outside. */
  #declare(name: string): void {
    if (this.#locals === null) return;
    this.#locals.push([name, this.context.scope.get(name)]);
    this.context.scope.set(name, new Unresolved(name, { isParameter: true }));
  }

  #blockOrObject(): void {
    const scanner = this.scanner;
    scanner.at++;
    if (this.depth >= MAX_DEPTH) return;
    const after = scanner.at;
    const quote = scanner.peek();
    if (quote === '"' || quote === "'") scanner.string();
    else scanner.word();
    const isObject = scanner.peek() === ":";
    scanner.at = after;
    this.nested(() => isObject ? this.objectValue() : this.#statements());
  }

  protected override arrowFunction(parameters: readonly string[]): Value {
    const start = this.scanner.at;
    let prefix = "";
    const value = this.#inFunction(parameters.filter((name) => name !== ""), () => {
      if (this.scanner.take("{")) return this.#body();
      prefix = "return ";
      this.#returned = this.expression();
    });
    const text = this.scanner.slice(start, this.scanner.at);
    return new FunctionValue(value.parameters, prefix + text, value.returns);
  }

  protected override functionValue(): Value {
    const scanner = this.scanner;
    scanner.take("*");
    const name = scanner.word();
    const value = this.#method();
    if (name !== null) {
      this.#locals?.push([name, this.context.scope.get(name)]);
      this.context.scope.set(name, value);
    }
    return value;
  }

  /** Parameters and body. */
  #method(): FunctionValue {
    const scanner = this.scanner;
    const parameters: string[] = [];
    if (scanner.take("(")) {
      for (
        let next = scanner.peek();
        next !== "" && next !== ")" && next !== "{" && next !== ";";
        next = scanner.peek()
      ) {
        const word = scanner.word();
        if (word !== null && parameters.length < MAX_PATH) parameters.push(word);
        else if (scanner.take("=")) this.expression();
        else scanner.at++;
      }
      scanner.take(")");
    }
    const hasBody = scanner.take("{");
    const start = scanner.at;
    const { returns } = this.#inFunction(parameters, () => {
      if (hasBody) this.#body();
    });
    return new FunctionValue(parameters, scanner.slice(start, Math.max(start, scanner.at - 1)), returns);
  }

  #body(): void {
    if (this.depth < MAX_DEPTH) this.nested(() => this.#statements());
  }

  /** Reads a function with its own parameters and variables. */
  #inFunction(parameters: readonly string[], read: () => void): FunctionValue {
    const { scope, record, work } = this.context;
    const outer = { returned: this.#returned, via: this.via, locals: this.#locals };
    const from = record.mark();
    this.#returned = UNKNOWN;
    this.#locals = [];
    for (const name of parameters) this.#declare(name);
    read();
    const value = new FunctionValue(parameters, "", this.#returned);
    if (this.#locals.length > parameters.length) record.settle(scope, work, from);
    for (const [name, hidden] of this.#locals.toReversed()) {
      hidden === undefined ? scope.delete(name) : scope.set(name, hidden);
    }
    this.#returned = outer.returned;
    this.via = outer.via;
    this.#locals = outer.locals;
    this.lastPath = "";
    return value;
  }

  /** The properties of an object, up to its closing brace. What turns out not to be an object is read as statements. */
  protected override objectValue(): Value {
    const scanner = this.scanner;
    const object = objectOf();
    let count = 0;
    for (let next = scanner.peek(); next !== ""; next = scanner.peek()) {
      if (next === "}") {
        scanner.at++;
        break;
      }
      if (next === ",") scanner.at++;
      else if (next === "." && scanner.startsWith("...")) {
        scanner.at += 3;
        const spread = this.expression();
        if (isObject(spread)) {
          this.context.work.spend(Object.keys(spread).length);
          Object.assign(object, spread);
        }
      } else if (!this.#property(object, ++count)) {
        this.#body();
        break;
      }
    }
    return object;
  }

  #property(object: ScriptObject, count: number): boolean {
    const scanner = this.scanner;
    let name = this.#propertyName();
    if (name === null) return false;
    let next = scanner.peek();
    if (next !== ":" && next !== "(" && /^(?:get|set|async|static)$/.test(name)) {
      name = this.#propertyName() ?? name;
      next = scanner.peek();
    }
    let value: Value;
    if (next === ":") {
      scanner.at++;
      value = this.expression();
    } else if (next === "(") value = this.#method();
    else if (next === "," || next === "}") value = this.variable(name).value;
    else return false;
    if (count < MAX_ITEMS) object[name] = value;
    return true;
  }

  #propertyName(): string | null {
    const scanner = this.scanner;
    const next = scanner.peek();
    if (next === '"' || next === "'") return scanner.string() ?? null;
    if (next === "[") {
      scanner.at++;
      const [name] = this.items("]");
      return typeof name === "string" ? name : "";
    }
    return scanner.word() ?? scanner.number()?.toString() ?? null;
  }
}
