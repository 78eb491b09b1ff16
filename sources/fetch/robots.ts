// Checks a site's robots.txt, which is fetched once an hour per origin, following redirects (RFC 9309 section 2.3).
// Example: await createRobots({ now: Date.now, product: "keepstream" }).check(url, pages). Runs on: Deno, edge runtime.
import { LruCache } from "../../core/lru_cache.ts";
import type { PageClient } from "./page_client.ts";
import { allows, type RobotsRule, rulesFor } from "./robots_txt.ts";
import { SourceError } from "../source_error.ts";

export { isAllowed } from "./robots_txt.ts";

const KEEP_MS = 60 * 60_000;
/** Section 2.5 requires at least 500 KiB. */
const MAX_BYTES = 512 * 1024;
/** At half a megabyte each, at most 16 MB. */
const MAX_SITES = 32;

export interface Robots {
  /** @throws {SourceError} `robots` if the file excludes the page; the error of its request if it is unreachable */
  check(url: URL, pages: PageClient): Promise<void>;
}

export function createRobots({ now, product }: { readonly now: () => number; readonly product: string }): Robots {
  const sites = new LruCache<{ readonly rules: Promise<readonly RobotsRule[]>; readonly until: number }>({
    maxEntries: MAX_SITES,
  });

  function rulesOf(origin: string, pages: PageClient): Promise<readonly RobotsRule[]> {
    const known = sites.get(origin);
    if (known !== undefined && known.until > now()) return known.rules;
    const rules = readRobots(origin, pages).then((text) => rulesFor(text, product));
    sites.set(origin, { rules, until: now() + KEEP_MS });
    rules.catch(() => sites.delete(origin));
    return rules;
  }

  return {
    async check(url, pages) {
      if (url.pathname === "/robots.txt") return;
      if (!allows(await rulesOf(url.origin, pages), url)) {
        throw new SourceError("robots", "the site's robots.txt excludes this page");
      }
    },
  };
}

/**
 * Section 2.3.1: without the file (4xx, or more than five redirects) everything is allowed; if the site is unreachable or responds
 * with 5xx, nothing is allowed for now. The file is always UTF-8.
 */
async function readRobots(origin: string, pages: PageClient): Promise<string> {
  try {
    const request = { maxBytes: MAX_BYTES, overlong: "cut", charset: "utf-8" } as const;
    const { text } = await pages.read(`${origin}/robots.txt`, request);
    return text;
  } catch (error) {
    const status = error instanceof SourceError ? error.status : undefined;
    if (status !== undefined && status >= 300 && status < 500) return "";
    throw error;
  }
}
