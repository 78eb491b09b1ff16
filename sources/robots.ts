// robots.txt as RFC 9309 reads it: the group of our product token or of *, the longest rule that matches decides.
// Example: isAllowed("User-agent: *\nDisallow: /private", "https://a.test/private/x", "keepstream") → false.
// Runs on: Deno, edge runtime.
import type { PageClient } from "./page_client.ts";
import { SourceError } from "./source_error.ts";

const KEEP_MS = 60 * 60_000;
const MAX_BYTES = 512 * 1024;
/** At half a megabyte each, that is 16 MB at the very most. */
const MAX_SITES = 32;

export interface Robots {
  /** @throws {SourceError} `robots` where the site does not want this page read. */
  check(url: URL, pages: PageClient): Promise<void>;
}

export function createRobots({ now, product }: { readonly now: () => number; readonly product: string }): Robots {
  const sites = new Map<string, { readonly rules: Promise<readonly Rule[]>; readonly until: number }>();

  function rulesOf(origin: string, pages: PageClient): Promise<readonly Rule[]> {
    const known = sites.get(origin);
    if (known !== undefined && known.until > now()) return known.rules;
    const rules = readRobots(origin, pages).then((text) => rulesFor(text, product));
    sites.delete(origin);
    sites.set(origin, { rules, until: now() + KEEP_MS });
    if (sites.size > MAX_SITES) sites.delete(sites.keys().next().value!);
    rules.catch(() => sites.delete(origin));
    return rules;
  }

  return {
    async check(url, pages) {
      if (url.pathname === "/robots.txt") return;
      if (!allows(await rulesOf(url.origin, pages), url)) {
        throw new SourceError("robots", "the site's robots.txt does not want this read");
      }
    },
  };
}

/** Section 2.3.1: a site without the file (4xx) allows everything; one that cannot say (5xx) allows nothing for now. */
async function readRobots(origin: string, pages: PageClient): Promise<string> {
  try {
    return (await pages.read(`${origin}/robots.txt`, { maxBytes: MAX_BYTES })).text;
  } catch (error) {
    if (error instanceof SourceError && (error.reason === "http_4xx" || error.reason === "too_large")) return "";
    throw error;
  }
}

export function isAllowed(text: string, url: URL, product: string): boolean {
  return allows(rulesFor(text, product), url);
}

function allows(rules: readonly Rule[], url: URL): boolean {
  const path = url.pathname + url.search;
  let best = { length: -1, allow: true };
  for (const rule of rules) {
    if (rule.path.length < best.length || !matches(rule.path, path)) continue;
    if (rule.path.length > best.length || rule.allow) best = { length: rule.path.length, allow: rule.allow };
  }
  return best.allow;
}

interface Rule {
  readonly allow: boolean;
  readonly path: string;
}

/** Rules of the groups that name the product, else of those for everybody. */
function rulesFor(text: string, product: string): readonly Rule[] {
  const groups: { agents: string[]; rules: Rule[] }[] = [];
  let readsAgents = false;
  for (const line of text.split(/\r\n?|\n/)) {
    const [, name, value] = /^\s*([A-Za-z-]+)\s*:\s*([^#]*)/.exec(line) ?? [];
    if (name === undefined || value === undefined) continue;
    const field = name.toLowerCase();
    if (field === "user-agent") {
      if (!readsAgents) groups.push({ agents: [], rules: [] });
      readsAgents = true;
      groups.at(-1)!.agents.push(value.trim().toLowerCase());
    } else if (field === "allow" || field === "disallow") {
      readsAgents = false;
      if (value.trim() !== "") groups.at(-1)?.rules.push({ allow: field === "allow", path: value.trim() });
    }
  }
  const own = groups.filter(({ agents }) => agents.includes(product.toLowerCase()));
  return (own.length > 0 ? own : groups.filter(({ agents }) => agents.includes("*"))).flatMap(({ rules }) => rules);
}

/** `*` is any run of characters, `$` at the end is the end. Greedy and without going back: linear in the path. */
function matches(pattern: string, path: string): boolean {
  const anchored = pattern.endsWith("$");
  const [first = "", ...parts] = (anchored ? pattern.slice(0, -1) : pattern).split("*");
  if (!path.startsWith(first)) return false;
  let at = first.length;
  for (const [index, part] of parts.entries()) {
    if (anchored && index === parts.length - 1) return path.length - part.length >= at && path.endsWith(part);
    const found = path.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return !anchored || at === path.length;
}
