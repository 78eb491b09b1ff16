// The public API's addresses, whichever cloud it runs on.
// Example: episodeUrl("https://p.supabase.co/functions/v1", 55825, 1) → "https://p.supabase.co/functions/v1/streaming/55825/1"
//          episodeUrl("https://api.test", 55825, 1) → "https://api.test/api/v1/streaming/55825/1"
// Runs on: workerd, browser, Deno.

/** Supabase puts functions below /functions/v1 and shows them no more of the path; everywhere else /api/v1 is ours. */
export function episodeUrl(apiBaseUrl: string, malId: number | string, episode: number | string): string {
  return `${streamingUrl(apiBaseUrl)}/${encodeURIComponent(malId)}/${encodeURIComponent(episode)}`;
}

/** The signed list of takedowns (deny_list.ts). */
export function takedownsUrl(apiBaseUrl: string): string {
  return `${streamingUrl(apiBaseUrl)}/takedowns`;
}

function streamingUrl(apiBaseUrl: string): string {
  const base = apiBaseUrl.replace(/\/+$/, "");
  return base + (base.endsWith("/functions/v1") ? "/streaming" : "/api/v1/streaming");
}
