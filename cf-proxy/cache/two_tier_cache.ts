// Facts that outlive a request: the first tier is this isolate's memory, the second the data centre's cache. Losing an entry costs
// a request, never correctness. Example: await put("resolved", hubUrl, resolved, 3600); await get<Resolved>("resolved", hubUrl)
import { LruCache } from "../../core/lru_cache.ts";

interface Entry {
  readonly value: unknown;
  readonly expiresAt: number;
}

/** In characters, a small part of an isolate's 128 MiB: sources choose what is stored here. */
const local = new LruCache<Entry>({ maxWeight: 8 * 1024 * 1024 });

/** Reads the isolate's memory only. */
export function getLocal<T>(kind: string, key: string): T | null {
  const entry = local.get(cacheUrl(kind, key));
  return entry !== undefined && entry.expiresAt > Date.now() ? entry.value as T : null;
}

export async function get<T>(kind: string, key: string): Promise<T | null> {
  const value = getLocal<T>(kind, key);
  if (value !== null) return value;
  const url = cacheUrl(kind, key);
  const cached = await caches.default.match(url).catch(() => undefined);
  if (cached === undefined) return null;
  const text = await cached.text();
  const entry: Entry = JSON.parse(text);
  if (!(entry.expiresAt > Date.now())) return null;
  putLocal(url, entry, text);
  return entry.value as T;
}

export async function put(kind: string, key: string, value: unknown, seconds: number): Promise<void> {
  const url = cacheUrl(kind, key);
  const entry = { value, expiresAt: Date.now() + 1000 * seconds };
  const text = JSON.stringify(entry);
  putLocal(url, entry, text);
  const headers = {
    "Cache-Control": `max-age=${Math.max(1, Math.floor(seconds))}`,
    "Content-Type": "application/json",
  };
  // If the data centre's cache fails, the isolate still has the entry.
  await caches.default.put(url, new Response(text, { headers })).catch(() => {});
}

export async function remove(kind: string, key: string): Promise<void> {
  local.delete(cacheUrl(kind, key));
  await caches.default.delete(cacheUrl(kind, key)).catch(() => false);
}

function putLocal(url: string, entry: Entry, text: string): void {
  local.set(url, entry, url.length + text.length);
}

/** Below `.invalid`, which no request can reach. */
function cacheUrl(kind: string, key: string): string {
  return `https://cache.keepstream.invalid/${kind}?${encodeURIComponent(key)}`;
}
