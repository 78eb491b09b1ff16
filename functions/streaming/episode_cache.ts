// The records that an isolate has read last, to respond while the database is unavailable.
// Example: cache.put("55825/1", record); cache.get("55825/1"). Runs on: Deno, edge runtime.
import { LruCache } from "../../core/lru_cache.ts";

const MAX_ENTRIES = 500;
/** An isolate has 256 MB, and one source list may be a megabyte. */
const MAX_WEIGHT = 16 * 1024 * 1024;

export interface EpisodeCache<T> {
  get(name: string): T | null;
  put(name: string, value: T): void;
}

export interface EpisodeCacheOptions<T> {
  readonly now: () => number;
  readonly keepSeconds: number;
  /** Approximate size in bytes. */
  readonly weigh: (value: T) => number;
}

export function createEpisodeCache<T>({ now, keepSeconds, weigh }: EpisodeCacheOptions<T>): EpisodeCache<T> {
  const entries = new LruCache<{ readonly value: T; readonly until: number }>({
    maxEntries: MAX_ENTRIES,
    maxWeight: MAX_WEIGHT,
  });
  return {
    get(name) {
      const entry = entries.get(name);
      return entry !== undefined && entry.until > now() ? entry.value : null;
    },
    put: (name, value) => entries.set(name, { value, until: now() + keepSeconds * 1000 }, weigh(value)),
  };
}
