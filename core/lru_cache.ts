// A bounded map that evicts the least recently used entries. docs/decisions/0014-small-core-helpers.md compares it with lru-cache.
// Example: const urls = new LruCache<URL>({ maxWeight: 1_000_000 }); urls.set(key, url, key.length + url.href.length);

export interface LruCacheOptions {
  /** @default Infinity */
  readonly maxEntries?: number;
  /** Upper bound of all entries' weights together. @default Infinity */
  readonly maxWeight?: number;
}

export class LruCache<V> {
  /** A Map iterates in insertion order, and `get` reinserts: the first key is the least recently used one. */
  readonly #entries = new Map<string, { readonly value: V; readonly weight: number }>();
  #weight = 0;

  constructor(private readonly options: LruCacheOptions) {}

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** A value heavier than the whole cache is not kept. */
  set(key: string, value: V, weight = 1): void {
    this.delete(key);
    this.#entries.set(key, { value, weight });
    this.#weight += weight;
    const { maxEntries = Infinity, maxWeight = Infinity } = this.options;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= maxEntries && this.#weight <= maxWeight) return;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#weight -= this.#entries.get(key)?.weight ?? 0;
    this.#entries.delete(key);
  }
}
