// Differences between Deno, Deno Deploy and Supabase's edge runtime. Runs on: Deno, edge runtime.

declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void } | undefined;

/** Keeps the isolate alive until the work is done. Logs a failure. */
export function runInBackground(work: Promise<unknown>): void {
  const guarded = work.catch((error) => logEvent("background:failed", { error: String(error) }));
  if (typeof EdgeRuntime !== "undefined") EdgeRuntime.waitUntil(guarded);
}

/** One JSON line. */
export function logEvent(event: string, fields: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify({ event, ...fields }));
}

/** IP addresses of a name; empty if the platform has no resolver. */
export async function resolveName(host: string, type: "A" | "AAAA", signal: AbortSignal): Promise<readonly string[]> {
  if (typeof Deno.resolveDns !== "function") return [];
  return await Deno.resolveDns(host, type, { signal });
}
