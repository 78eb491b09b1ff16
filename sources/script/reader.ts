// Reads a script once, from its start to its end, and records its calls, assignments and variables.
// Example: new ScriptReader(`jwplayer("p").setup({file: "/a.mp4"})`, context).read() → context.record.calls.
import { ExpressionReader, MAX_DEPTH, MAX_ITEMS, MAX_PATH } from "./expressions.ts";
import { FunctionValue, isObject, objectOf, type ScriptObject, UNKNOWN, Unresolved, type Value } from "./values.ts";

const STATEMENT_WORDS = new Set(
  ("break case catch const continue debugger default do else export finally for if import let switch throw try var while with " +
    "class extends static").split(" "),
);

export class ScriptReader extends ExpressionReader {
  #returned: Value = UNKNOWN;

  read(): void {
    while (!this.scanner.ended) this.#statements();
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
    if (word !== null && STATEMENT_WORDS.has(word)) return;
    if (word === "return") this.#returned = this.expression();
    else this.expression(word ?? undefined);
    if (this.scanner.at === before) this.scanner.at++;
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
    return this.#withParameters(parameters, () => {
      if (this.scanner.take("{")) this.#body();
      else this.#returned = this.expression();
    });
  }

  protected override functionValue(): Value {
    const scanner = this.scanner;
    scanner.take("*");
    const name = scanner.word();
    const value = this.#method();
    if (name !== null) this.context.scope.set(name, value);
    return value;
  }

  /** Parameters and body. */
  #method(): Value {
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
    return this.#withParameters(parameters, () => {
      if (scanner.take("{")) this.#body();
    });
  }

  #body(): void {
    if (this.depth < MAX_DEPTH) this.nested(() => this.#statements());
  }

  #withParameters(parameters: readonly string[], read: () => void): FunctionValue {
    const { scope } = this.context;
    const [outer, via] = [this.#returned, this.via];
    this.#returned = UNKNOWN;
    const hidden = parameters.filter((name) => name !== "").map((name) => [name, scope.get(name)] as const);
    for (const [name] of hidden) scope.set(name, new Unresolved(name, { isParameter: true }));
    read();
    for (const [name, value] of hidden) value === undefined ? scope.delete(name) : scope.set(name, value);
    const value = new FunctionValue(this.#returned);
    [this.#returned, this.via] = [outer, via];
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
