// Small facts that outlive a request: in this isolate's memory first, then in the data centre's cache.
// Example: remember("moved", href, newHref, 1200) … recall("moved", href). Losing one costs a request, never correctness.
// Runs on: workerd.

interface Entry {
  readonly value: unknown;
  readonly expiresAt: number;
}

const MAX_ENTRIES = 2000;
const entries = new Map<string, Entry>();

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
  const entry = await cached.json<Entry>();
  if (!(entry.expiresAt > Date.now())) return null;
  keep(name, entry);
  return entry.value as T;
}

export async function remember(kind: string, key: string, value: unknown, seconds: number): Promise<void> {
  const name = nameOf(kind, key);
  const entry = { value, expiresAt: Date.now() + 1000 * seconds };
  keep(name, entry);
  const headers = {
    "Cache-Control": `max-age=${Math.max(1, Math.floor(seconds))}`,
    "Content-Type": "application/json",
  };
  // A cache that refuses leaves the memory.
  await caches.default.put(name, new Response(JSON.stringify(entry), { headers })).catch(() => {});
}

export async function forget(kind: string, key: string): Promise<void> {
  entries.delete(nameOf(kind, key));
  await caches.default.delete(nameOf(kind, key)).catch(() => false);
}

function keep(name: string, entry: Entry): void {
  if (entries.size >= MAX_ENTRIES) entries.delete(entries.keys().next().value!);
  entries.set(name, entry);
}

/** An address nobody can ask the Worker for. */
function nameOf(kind: string, key: string): string {
  return `https://memo.keepstream.invalid/${kind}?${encodeURIComponent(key)}`;
}
