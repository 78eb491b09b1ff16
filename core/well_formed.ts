// Text that every database takes: Postgres refuses half a surrogate pair and U+0000, and the whole call with them.
// Example: wellFormed({ label: "a\0\ud83d" }) → { label: "a\ufffd" }. Runs on: anywhere.

/** The same JSON value with every string and key made well-formed. */
export function wellFormed<T>(value: T): T {
  return clean(value) as T;
}

function clean(value: unknown): unknown {
  if (typeof value === "string") return value.toWellFormed().replaceAll("\0", "");
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [clean(name), clean(one)]));
}
