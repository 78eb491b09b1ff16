/**
 * The takedown list that this isolate enforces. The first request waits for it, at most a second; later it is refreshed in the
 * background. If the API is unreachable, the last verified list stays in force, whatever its age.
 */
import { type DenyList, verifyDenyList } from "../../core/deny_list.ts";
import type { SigningKeys } from "../../core/link.ts";

/** Refreshed in the background after the first age, awaited after the second: signed links stop working within a minute. */
const [REFRESH_AFTER_MS, STALE_AFTER_MS] = [30_000, 50_000];
/** Between two attempts while the API is unreachable. */
const RETRY_MS = 10_000;
/** A list older, or further in the future, is a replay: the API signs a new one every few seconds. */
const MAX_SKEW_SECONDS = 300;

/** The signed text, and when it was received from the API; milliseconds. */
export interface CachedList {
  readonly text: string;
  readonly confirmedAt: number;
}

export interface TakedownSource {
  readonly keys: SigningKeys;
  /** Milliseconds. */
  readonly now: () => number;
  /** The API's response body. */
  readonly fetch: () => Promise<string>;
  /** Shared with the other isolates of the data centre. */
  readonly cache: { get(): Promise<CachedList | null>; put(list: CachedList): Promise<void> };
  readonly onError: (error: unknown) => void;
}

export interface ReadOptions {
  /** Keeps background work alive after the response. */
  readonly waitUntil: (work: Promise<void>) => void;
  /** Resolves with false if `work` takes longer than a request may wait. */
  readonly settlesInTime: (work: Promise<void>) => Promise<boolean>;
}

export class TakedownList {
  readonly #source: TakedownSource;
  #list: DenyList | null = null;
  #confirmedAt = -Infinity;
  #requestedAt = -Infinity;
  /** The last refresh failed or was late: until one succeeds, no request waits. */
  #failing = false;
  #cacheRead = false;

  constructor(source: TakedownSource) {
    this.#source = source;
  }

  /** The list in force; null if none has been verified yet. Never rejects. */
  async read({ waitUntil, settlesInTime }: ReadOptions): Promise<DenyList | null> {
    if (this.#age() < REFRESH_AFTER_MS) return this.#list;
    if (!this.#cacheRead) await this.#readCache();
    const isStale = this.#age() >= STALE_AFTER_MS;
    const isAwaited = isStale && !this.#failing;
    const isDue = isAwaited || this.#source.now() - this.#requestedAt >= RETRY_MS;
    if (this.#age() < REFRESH_AFTER_MS || !isDue) return this.#list;
    const refreshed = this.#refresh();
    waitUntil(refreshed);
    if (isAwaited && !await settlesInTime(refreshed)) this.#failing = true;
    return this.#list;
  }

  #age(): number {
    return this.#source.now() - this.#confirmedAt;
  }

  async #refresh(): Promise<void> {
    const confirmedAt = this.#requestedAt = this.#source.now();
    try {
      const text = await this.#source.fetch();
      const list = await verifyRecent(text, this.#source);
      this.#adopt(list);
      this.#confirmedAt = Math.max(this.#confirmedAt, confirmedAt);
      this.#failing = false;
      await this.#source.cache.put({ text, confirmedAt });
    } catch (error) {
      this.#failing = true;
      this.#source.onError(error);
    }
  }

  /** Another isolate's verified list, so that a new isolate enforces it on its first request. */
  async #readCache(): Promise<void> {
    this.#cacheRead = true;
    try {
      const cached = await this.#source.cache.get();
      const list = cached === null ? null : await verifyDenyList(cached.text, this.#source.keys);
      if (cached === null || !list?.ok) return;
      this.#adopt(list.value);
      this.#confirmedAt = Math.max(this.#confirmedAt, cached.confirmedAt);
    } catch (error) {
      this.#source.onError(error);
    }
  }

  #adopt(list: DenyList): void {
    if (list.issuedAt < (this.#list?.issuedAt ?? 0)) {
      throw new Error("the list of takedowns is older than the one in force");
    }
    this.#list = list;
  }
}

/** @throws {Error} if the list is not signed by the API, or not recent. */
export async function verifyRecent(
  text: string,
  { keys, now }: Pick<TakedownSource, "keys" | "now">,
): Promise<DenyList> {
  const list = await verifyDenyList(text, keys);
  if (!list.ok) {
    throw new Error(
      `the list of takedowns cannot be verified (${list.error}): set the same STREAM_SIGNING_KEYS for API and Worker`,
    );
  }
  if (Math.abs(now() / 1000 - list.value.issuedAt) > MAX_SKEW_SECONDS) {
    throw new Error("the list of takedowns is not recent: it is a replay, or a clock is wrong");
  }
  return list.value;
}
