// The last answers an isolate has read, for the moments when the database does not answer. Never the truth.
// Example: memory.put("55825/1", episode); memory.get("55825/1"). Runs on: Deno, edge runtime.

const MAX_ENTRIES = 500;

export interface Memory<T> {
  get(name: string): T | null;
  put(name: string, value: T): void;
}

export function createMemory<T>(options: { now: () => number; keepSeconds: number }): Memory<T> {
  const entries = new Map<string, { readonly value: T; readonly until: number }>();
  return {
    get(name) {
      const entry = entries.get(name);
      return entry !== undefined && entry.until > options.now() ? entry.value : null;
    },
    put(name, value) {
      entries.delete(name); // a Map keeps insertion order: the first key is the one longest unused
      entries.set(name, { value, until: options.now() + options.keepSeconds * 1000 });
      if (entries.size > MAX_ENTRIES) entries.delete(entries.keys().next().value!);
    },
  };
}
