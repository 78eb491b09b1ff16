// Reads attribute lists and URLs of one playlist: expands its variables and makes its URLs absolute.
// Example: new References(new URL("https://cdn.test/v/m.m3u8")).absolute("a.ts") → https://cdn.test/v/a.ts
import { malformed, moreThan, type PlaylistError } from "./errors.ts";
import { Attributes, createResolver, MAX_ATTRIBUTES, Variables } from "./syntax.ts";

const NO_VARIABLES: ReadonlyMap<string, string> = new Map();

export class References {
  readonly #base: URL;
  readonly #imported: ReadonlyMap<string, string>;
  readonly #resolver;
  readonly #variables = new Variables();

  /** `imported` are the variables of the multivariant playlist. */
  constructor(base: URL, imported = NO_VARIABLES) {
    this.#base = base;
    this.#imported = imported;
    this.#resolver = createResolver(base, (href) => ({ href }));
  }

  /** The playlist has too many directories or URLs. */
  get exhausted(): boolean {
    return this.#resolver.exhausted;
  }

  get variables(): ReadonlyMap<string, string> {
    return this.#variables.values;
  }

  /** Evaluates an EXT-X-DEFINE. */
  define(value: string): PlaylistError | null {
    return this.#variables.define(value, { imported: this.#imported, base: this.#base });
  }

  attributes(value: string): Attributes | PlaylistError {
    const attributes = Attributes.parse(value);
    if (attributes === null) return moreThan(MAX_ATTRIBUTES, "attributes in one tag");
    return (value.includes("{$") ? attributes.expand(this.#variables) : null) ?? attributes;
  }

  absolute(uri: string): string | PlaylistError {
    const text = this.#expand(uri);
    if (typeof text !== "string") return text;
    const resolved = this.#resolver.resolve(text);
    if (resolved === null) return malformed("a URL that cannot be parsed");
    return "other" in resolved ? resolved.other.href : resolved.directory.href + resolved.rest;
  }

  #expand(text: string): string | PlaylistError {
    if (!text.includes("{$")) return text;
    const expanded = this.#variables.expand(text);
    return expanded.ok ? expanded.value : expanded.error;
  }
}
