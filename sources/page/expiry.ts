// When a signed media URL expires, according to its query.
// Example: "…?X-Amz-Date=20260101T000000Z&X-Amz-Expires=3600" → 1767229200. Runs on: Deno, edge runtime.

const MIN_UNIX_SECONDS = 1_000_000_000;
const MAX_UNIX_SECONDS = 100_000_000_000;

/** Unix seconds; null if the URL has no known expiry parameter. */
export function expiryOf(url: string): number | null {
  if (!URL.canParse(url)) return null;
  const query = new Map([...new URL(url).searchParams].map(([name, value]) => [name.toLowerCase(), value]));
  return amazonExpiry(query) ?? absoluteExpiry(query) ?? relativeExpiry(query);
}

/** AWS Signature Version 4, "Authenticating requests: using query parameters". */
function amazonExpiry(query: ReadonlyMap<string, string>): number | null {
  const date = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(query.get("x-amz-date") ?? "");
  const lifetime = Number(query.get("x-amz-expires"));
  if (date === null || !(lifetime > 0)) return null;
  const [year, month, day, hour, minute, second] = date.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1000 + lifetime;
}

function absoluteExpiry(query: ReadonlyMap<string, string>): number | null {
  for (const name of ["expires", "expire", "exp", "e", "validto", "deadline"]) {
    const value = Number(query.get(name));
    if (value >= MIN_UNIX_SECONDS && value < MAX_UNIX_SECONDS) return Math.floor(value);
  }
  return null;
}

/** Players that pack their script sign with a start (`s`, unix) and a lifetime in seconds (`e`). */
function relativeExpiry(query: ReadonlyMap<string, string>): number | null {
  const start = Number(query.get("s"));
  const lifetime = Number(query.get("e"));
  return start >= MIN_UNIX_SECONDS && start < MAX_UNIX_SECONDS && lifetime > 0 ? Math.floor(start + lifetime) : null;
}
