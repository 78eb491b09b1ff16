// Cache policy of source lists (RFC 9111, RFC 5861): what a request does with a cached list, and for how long a new one is fresh.
// Example: a stale list that this isolate has claimed → "revalidate". Runs on: Deno, edge runtime.
import type { SourceList } from "../../sources/source_list.ts";
import type { CachedList, EpisodeRecord } from "./episode_store.ts";

/** A page may name URLs that have already expired; reading it again immediately would return the same ones. */
const MIN_FRESH_SECONDS = 60;

/**
 * `serve` the cached list; `revalidate`: serve it and read it again in the background; `fetch`: read it before responding;
 * `await`: another isolate has claimed the read, so wait for its result first.
 */
export type CacheAction = "serve" | "revalidate" | "fetch" | "await";

export interface CachePolicyOptions {
  readonly refresh: boolean;
  readonly staleSeconds: number;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** A response never waits for a provider whose circuit is open or whose last read failed: it reports the cached failure. */
export function cacheAction(provider: string, record: EpisodeRecord, options: CachePolicyOptions): CacheAction {
  const list = record.source_lists[provider] ?? null;
  const claimed = record.source_reads[provider];
  const mustWait = record.open_circuits[provider] === undefined &&
    (list === null || (list.state === "ok" && isUnusable(list, options)));
  if (mustWait) return claimed === false ? "await" : "fetch";
  return claimed === true ? "revalidate" : "serve";
}

function isUnusable(list: CachedList, { refresh, staleSeconds, now }: CachePolicyOptions): boolean {
  if (list.age_seconds > staleSeconds) return true;
  const hasExpired = expiries(list).some((time) => time <= now());
  return list.age_seconds > MIN_FRESH_SECONDS && (refresh || hasExpired);
}

/** Freshness lifetime of a list. For a failure, the first of a series of back-offs that the database extends. */
export function freshnessSeconds(
  list: SourceList,
  { freshSeconds, failureSeconds, now }: { freshSeconds: number; failureSeconds: number; now: () => number },
): number {
  if (list.state !== "ok") return failureSeconds;
  const untilExpiry = Math.min(...expiries(list).map((time) => (time - now()) / 1000));
  return Math.round(Math.min(freshSeconds, Math.max(MIN_FRESH_SECONDS, untilExpiry)));
}

function expiries(list: SourceList): readonly number[] {
  return list.servers.map(({ expires_at }) => Date.parse(expires_at ?? "")).filter((time) => !Number.isNaN(time));
}
