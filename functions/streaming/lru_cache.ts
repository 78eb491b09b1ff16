// The last answers an isolate has read, for the moments when the database does not answer. Never the truth.
// Example: memory.put("55825/1", episode); memory.get("55825/1"). Runs on: Deno, edge runtime.

const MAX_ENTRIES = 500;
/** An isolate has 256 MB, and a list may have a megabyte. */
const MAX_WEIGHT = 16 * 1024 * 1024;

export interface Memory<T> {
  get(name: string): T | null;
  put(name: string, value: T): void;
}

export interface MemoryOptions<T> {
  readonly now: () => number;
  readonly keepSeconds: number;
  /** Roughly how many bytes a value holds. */
  readonly weigh: (value: T) => number;
}

export function createMemory<T>({ now, keepSeconds, weigh }: MemoryOptions<T>): Memory<T> {
  const entries = new Map<string, { readonly value: T; readonly until: number; readonly weight: number }>();
  let weight = 0;

  function drop(name: string): void {
    weight -= entries.get(name)?.weight ?? 0;
    entries.delete(name);
  }

  return {
    get(name) {
      const entry = entries.get(name);
      return entry !== undefined && entry.until > now() ? entry.value : null;
    },
    put(name, value) {
      drop(name); // a Map keeps insertion order: the first key is the one longest unused
      const entry = { value, until: now() + keepSeconds * 1000, weight: weigh(value) };
      entries.set(name, entry);
      weight += entry.weight;
      while (entries.size > MAX_ENTRIES || weight > MAX_WEIGHT) drop(entries.keys().next().value!);
    },
  };
}
