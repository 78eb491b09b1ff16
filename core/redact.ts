// Takes secrets out of text that goes into logs, rows and answers: queries, fragments, userinfo, tokens.
// Example: redactText("GET https://u:p@cdn.test/a.mp4?sig=1 failed") → "GET https://cdn.test/a.mp4?… failed"
// Runs on: Deno, edge runtime, workerd.

/** One address without userinfo, query value and fragment. What is no address comes back as "…". */
export function redactUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return "…";
  }
  const host = url.host === "" ? "" : `//${url.host}`;
  // data:, magnet: and the like hold their whole content in the "path".
  const path = url.host === "" ? "…" : url.pathname;
  return `${url.protocol}${host}${path}${url.search === "" ? "" : "?…"}`;
}

const ADDRESS = /\b[a-z][a-z0-9+.-]{1,15}:\/\/[^\s"'<>\\`{}|^]+/gi;
const BEARER = /\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+/gi;
const TOKEN = /\b(?:hf_|sb_secret_|whsec_|ghp_|sk_)[A-Za-z0-9+/=_-]+/g;
const JWT = /\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g;
const QUERY_SECRET =
  /([?&;\s"']|^)((?:x-amz-[a-z-]+|signature|sig|token|access_token|apikey|api_key|key|password|secret|policy|key-pair-id)=)[^&\s"'<>]+/gi;

/** Free text (an error message, a captured line of stderr) with every address redacted and every known token form out. */
export function redactText(text: string): string {
  return text
    .replace(ADDRESS, redactUrl)
    .replace(BEARER, "$1 …")
    .replace(JWT, "…")
    .replace(TOKEN, "…")
    .replace(QUERY_SECRET, "$1$2…");
}
