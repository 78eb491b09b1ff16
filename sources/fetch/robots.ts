// Whether a site's robots.txt lets us read a page: fetched once an hour per origin, redirects included (RFC 9309 section 2.3).
// Example: await createRobots({ now: Date.now, product: "keepstream" }).check(url, pages). Runs on: Deno, edge runtime.
import { LruCache } from "../../core/lru_cache.ts";
import type { PageClient } from "./page_client.ts";
import { allows, type RobotsRule, rulesFor } from "./robots_txt.ts";
import { SourceError } from "../source_error.ts";

export { isAllowed } from "./robots_txt.ts";

const KEEP_MS = 60 * 60_000;
/** Section 2.5 wants at least 500 KiB; what is beyond is not read. */
const MAX_BYTES = 512 * 1024;
/** At half a megabyte each, that is 16 MB at the very most. */
const MAX_SITES = 32;

export interface Robots {
  /** @throws {SourceError} `robots` where the site does not want this page read; the file's own failure where it is unreachable. */
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
        throw new SourceError("robots", "the site's robots.txt does not want this read");
      }
    },
  };
}

/**
 * Section 2.3.1: a site without the file (4xx, or more than five redirects) allows everything; one that cannot be reached, or
 * answers 5xx, allows nothing for now. The file is UTF-8 whatever its headers say.
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
