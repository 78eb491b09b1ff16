// The public API's URLs, on Supabase and elsewhere.
// Example: episodeUrl("https://p.supabase.co/functions/v1", 55825, 1) → "https://p.supabase.co/functions/v1/streaming/55825/1"
//          episodeUrl("https://api.test", 55825, 1) → "https://api.test/api/v1/streaming/55825/1"

/** Supabase serves functions below /functions/v1; elsewhere the prefix is /api/v1. */
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
