// Small facts that outlive a request: in this isolate's memory first, then in the data centre's cache.
// Example: remember("moved", href, newHref, 1200) … recall("moved", href). Losing one costs a request, never correctness.
// Runs on: workerd.
import { BoundedMemory } from "./lru_cache.ts";

interface Entry {
  readonly value: unknown;
  readonly expiresAt: number;
}

/** Of an isolate's 128 MiB. */
const entries = new BoundedMemory<Entry>(8 * 1024 * 1024);

/** What this isolate knows by itself, without asking the cache. */
export function peek<T>(kind: string, key: string): T | null {
  const kept = entries.get(nameOf(kind, key));
  return kept !== undefined && kept.expiresAt > Date.now() ? kept.value as T : null;
}

export async function recall<T>(kind: string, key: string): Promise<T | null> {
  const kept = peek<T>(kind, key);
  if (kept !== null) return kept;
  const name = nameOf(kind, key);
  const cached = await caches.default.match(name).catch(() => undefined);
  if (cached === undefined) return null;
  const text = await cached.text();
  const entry: Entry = JSON.parse(text);
  if (!(entry.expiresAt > Date.now())) return null;
  entries.set(name, entry, text.length);
  return entry.value as T;
}

export async function remember(kind: string, key: string, value: unknown, seconds: number): Promise<void> {
  const name = nameOf(kind, key);
  const entry = { value, expiresAt: Date.now() + 1000 * seconds };
  const text = JSON.stringify(entry);
  entries.set(name, entry, text.length);
  const headers = {
    "Cache-Control": `max-age=${Math.max(1, Math.floor(seconds))}`,
    "Content-Type": "application/json",
  };
  // A cache that refuses leaves the memory.
  await caches.default.put(name, new Response(text, { headers })).catch(() => {});
}

export async function forget(kind: string, key: string): Promise<void> {
  entries.delete(nameOf(kind, key));
  await caches.default.delete(nameOf(kind, key)).catch(() => false);
}

/** An address nobody can ask the Worker for. */
function nameOf(kind: string, key: string): string {
  return `https://memo.keepstream.invalid/${kind}?${encodeURIComponent(key)}`;
}
