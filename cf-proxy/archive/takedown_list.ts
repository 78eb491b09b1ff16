/**
 * The list of takedowns that is in force in this isolate. A request waits for it once, at most a second; afterwards it is refreshed
 * in the background, and where the API is away the last verified list stays in force, however old.
 */
import { type DenyList, verifyDenyList } from "../../core/deny_list.ts";
import type { SigningKeys } from "../../core/link.ts";

/** Refreshed in the background from the first age on, waited for from the second: links signed earlier stop within a minute. */
const [REFRESH_AFTER_MS, STALE_AFTER_MS] = [30_000, 50_000];
/** Between two attempts while the API does not answer. */
const RETRY_MS = 10_000;
/** A list this old, or this far ahead, is a replay: the API signs a new one every few seconds. */
const MAX_SKEW_SECONDS = 300;

/** A list as it was signed, and when the API confirmed it; milliseconds. */
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
  /** Keeps background work alive when the request has been answered. */
  readonly waitUntil: (work: Promise<void>) => void;
  /** Resolves with false when `work` takes too long for a request to wait. */
  readonly settlesInTime: (work: Promise<void>) => Promise<boolean>;
}

export class TakedownList {
  readonly #source: TakedownSource;
  #list: DenyList | null = null;
  #confirmedAt = -Infinity;
  #askedAt = -Infinity;
  /** The API did not answer, or not in time: no request waits until it has. */
  #failing = false;
  #cacheRead = false;

  constructor(source: TakedownSource) {
    this.#source = source;
  }

  /** The list in force; null where none was ever verified. Never rejects. */
  async read({ waitUntil, settlesInTime }: ReadOptions): Promise<DenyList | null> {
    if (this.#age() < REFRESH_AFTER_MS) return this.#list;
    if (!this.#cacheRead) await this.#readCache();
    const isStale = this.#age() >= STALE_AFTER_MS;
    const isWaitedFor = isStale && !this.#failing;
    const isDue = isWaitedFor || this.#source.now() - this.#askedAt >= RETRY_MS;
    if (this.#age() < REFRESH_AFTER_MS || !isDue) return this.#list;
    const refreshed = this.#refresh();
    waitUntil(refreshed);
    if (isWaitedFor && !await settlesInTime(refreshed)) this.#failing = true;
    return this.#list;
  }

  #age(): number {
    return this.#source.now() - this.#confirmedAt;
  }

  async #refresh(): Promise<void> {
    const confirmedAt = this.#askedAt = this.#source.now();
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

  /** What another isolate has verified, so that a new one need not let its first request through. */
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

/** @throws {Error} for a list that is not the API's, or not of now. */
export async function verifyRecent(
  text: string,
  { keys, now }: Pick<TakedownSource, "keys" | "now">,
): Promise<DenyList> {
  const list = await verifyDenyList(text, keys);
  if (!list.ok) {
    throw new Error(`the list of takedowns is refused (${list.error}): set the same STREAM_SIGNING_KEYS in both`);
  }
  if (Math.abs(now() / 1000 - list.value.issuedAt) > MAX_SKEW_SECONDS) {
    throw new Error("the list of takedowns was not issued just now: a recording, or a clock is wrong");
  }
  return list.value;
}
