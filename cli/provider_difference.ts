// Compares two provider lists: what applying the second one would change, a line for each change.
// Example: "~ animasu.base_url: null → "https://site.example"". The order matters: it is the order of responses.
import type { ProviderListEntry } from "../sources/providers/entry.ts";

const FIELDS = ["recipe", "base_url", "rights", "qualities", "enabled", "config"] as const;

type Present = Readonly<Record<string, unknown>>;

export function providerDifference(
  present: readonly Present[],
  next: readonly ProviderListEntry[],
): readonly string[] {
  const before = new Map(present.map((entry) => [String(entry.name), entry]));
  const lines: string[] = [];
  for (const entry of next) {
    const old = before.get(entry.name);
    if (old === undefined) lines.push(`+ ${entry.name} (${entry.recipe}${entry.enabled ? "" : ", switched off"})`);
    else {
      for (const field of FIELDS) {
        const [from, to] = [canonical(old[field]), canonical(entry[field])];
        if (from !== to) lines.push(`~ ${entry.name}.${field}: ${from} → ${to}`);
      }
    }
  }
  const names = next.map(({ name }) => name);
  for (const name of before.keys()) if (!names.includes(name)) lines.push(`- ${name}`);
  const kept = [...before.keys()].filter((name) => names.includes(name));
  const order = names.filter((name) => before.has(name));
  if (kept.join() !== order.join()) lines.push(`~ order: ${kept.join(", ")} → ${order.join(", ")}`);
  return lines;
}

/** JSON with sorted keys: the database does not keep their order. */
function canonical(value: unknown): string {
  return JSON.stringify(
    value ?? null,
    (_key, inner) =>
      typeof inner === "object" && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
  );
}
