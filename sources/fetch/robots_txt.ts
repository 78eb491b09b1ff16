// Evaluates robots.txt by RFC 9309: the groups of our product token, otherwise those of `*`; the longest matching rule decides.
// Example: isAllowed("User-agent: *\nDisallow: /private", new URL("https://a.test/private/x"), "keepstream") → false.
// Runs on: Deno, edge runtime.

/** Rules times characters of the path. A file beyond this limit is not evaluated and allows nothing. */
const MAX_COMPARISONS = 4_000_000;
/** Characters after a `*`, times characters of the path: at most 0.1 s. */
const MAX_SEARCHED = 100_000_000;

/** An `Allow` or `Disallow` line of the selected groups. */
export interface RobotsRule {
  readonly allow: boolean;
  /** Octets after normalisation. */
  readonly length: number;
  /** Ends in `$`: the path must end there. */
  readonly anchored: boolean;
  /** The parts between the `*`. */
  readonly parts: readonly string[];
  /** The same with reserved characters encoded. */
  readonly encodedParts: readonly string[];
}

export function isAllowed(text: string, url: URL, product: string): boolean {
  return allows(rulesFor(text, product), url);
}

/** Rules of the groups that name the product, otherwise of the `*` groups. */
export function rulesFor(text: string, product: string): readonly RobotsRule[] {
  const groups: { agents: string[]; lines: { allow: boolean; path: string }[] }[] = [];
  let readsAgents = false;
  for (const line of text.split(/\r\n?|\n/)) {
    const [, name, value] = /^\s*([A-Za-z-]+)\s*:\s*([^#]*)/.exec(line) ?? [];
    if (name === undefined || value === undefined) continue;
    const field = name.toLowerCase();
    if (field === "user-agent") {
      if (!readsAgents) groups.push({ agents: [], lines: [] });
      readsAgents = true;
      groups.at(-1)!.agents.push(agentOf(value));
    } else if (field === "allow" || field === "disallow") {
      readsAgents = false;
      if (value.trim() !== "") groups.at(-1)?.lines.push({ allow: field === "allow", path: value.trim() });
    } // other records, such as Sitemap, neither begin nor end a group
  }
  const own = groups.filter(({ agents }) => agents.includes(product.toLowerCase()));
  const selected = own.length > 0 ? own : groups.filter(({ agents }) => agents.includes("*"));
  return selected.flatMap(({ lines }) => lines.map(({ allow, path }) => toRule(allow, path)));
}

/**
 * A rule matches a path either as written or with reserved characters encoded (section 2.2.2, whose example is `https://` in a query).
 * Delimiters of the URL are never encoded: `/a%2Fb` is not `/a/b`.
 */
export function allows(rules: readonly RobotsRule[], { pathname, search }: URL): boolean {
  if (pathname === "/robots.txt") return true;
  const path = normalise(pathname + search).replaceAll("*", "%2A"); // in a URL it is the character
  const encodedPath = encodeReserved(path);
  const searched = rules.reduce((sum, { encodedParts }) => sum + encodedParts.slice(1).join("").length, 0);
  if (rules.length * path.length > MAX_COMPARISONS || searched * path.length > MAX_SEARCHED) return false;
  let best = { length: -1, allow: true };
  for (const { length, allow, anchored, parts, encodedParts } of rules) {
    if (length < best.length || (length === best.length && !allow)) continue;
    const matching = matches(parts, path, anchored) || matches(encodedParts, encodedPath, anchored);
    if (matching) best = { length, allow };
  }
  return best.allow;
}

/** The product token (section 2.2.1) with which a User-agent line begins: `keepstream/1.0 (x)` → `keepstream`. */
function agentOf(value: string): string {
  return /^(?:\*(?=\s|$)|[A-Za-z_-]+)/.exec(value)?.[0].toLowerCase() ?? "";
}

function toRule(allow: boolean, text: string): RobotsRule {
  const anchored = text.endsWith("$");
  const path = anchored ? text.slice(0, -1) : text;
  const kept = normalise(path);
  return {
    allow,
    length: kept.length + (anchored ? 1 : 0),
    anchored,
    parts: kept.split("*"),
    encodedParts: encodeReserved(kept).split("*"),
  };
}

/** Everything except unreserved and reserved characters and the wildcard; a literal `$` is encoded, like `*` in a URL (section 2.2.3). */
// deno-lint-ignore no-control-regex
const TO_NORMALISE = /%[0-9A-Fa-f]{2}|[^\u0000-\u007f]+|[^A-Za-z0-9._~:/?#[\]@!&'()+,;=*-]/g;

/** Section 2.2.2: decodes unreserved characters, writes other escapes in upper case, encodes characters that URLs cannot contain. */
function normalise(path: string): string {
  return path.toWellFormed().replace(TO_NORMALISE, (piece) => {
    if (piece > "\u007f") return encodeURIComponent(piece);
    if (piece.length < 3) return encode(piece);
    const character = String.fromCharCode(parseInt(piece.slice(1), 16));
    return /[A-Za-z0-9._~-]/.test(character) ? character : piece.toUpperCase();
  });
}

function encodeReserved(path: string): string {
  const [, start = "", query] = /^([^?]*)(?:\?(.*))?$/s.exec(path) ?? [];
  const encodedStart = start.replace(/[:#[\]@!&'()+,;=]/g, encode);
  return query === undefined ? encodedStart : `${encodedStart}?${query.replace(/[:/?#[\]@!'()+,;]/g, encode)}`;
}

function encode(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

/** Greedy, without backtracking. */
function matches(parts: readonly string[], path: string, anchored: boolean): boolean {
  const [first = ""] = parts;
  if (!path.startsWith(first)) return false;
  let at = first.length;
  for (let index = 1; index < parts.length; index++) {
    const part = parts[index]!;
    if (anchored && index === parts.length - 1) return path.length - part.length >= at && path.endsWith(part);
    const found = path.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return !anchored || at === path.length;
}
