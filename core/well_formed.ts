// Makes text acceptable to Postgres, which rejects a call with a lone surrogate or U+0000.
// Example: wellFormed({ label: "a\0\ud83d" }) → { label: "a\ufffd" }

/** A copy of a JSON value with well-formed strings and keys. */
export function wellFormed<T>(value: T): T {
  return clean(value) as T;
}

function clean(value: unknown): unknown {
  if (typeof value === "string") return value.toWellFormed().replaceAll("\0", "");
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [clean(name), clean(one)]));
}
