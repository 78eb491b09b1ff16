// Removes secrets from text for logs, rows and responses: queries, fragments, user information, tokens.
// Example: redactText("GET https://u:p@cdn.test/a.mp4?sig=1 failed") → "GET https://cdn.test/a.mp4?… failed"

/** A URL without user information, query and fragment; "…" for text that is no URL. */
export function redactUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return "…";
  }
  const host = url.host === "" ? "" : `//${url.host}`;
  // The path of data:, magnet: and similar URLs is their content.
  const path = url.host === "" ? "…" : url.pathname;
  return `${url.protocol}${host}${path}${url.search === "" ? "" : "?…"}`;
}

const URL_IN_TEXT = /\b[a-z][a-z0-9+.-]{1,15}:\/\/[^\s"'<>\\`{}|^]+/gi;
const BEARER = /\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+/gi;
const TOKEN = /\b(?:hf_|sb_secret_|whsec_|ghp_|sk_)[A-Za-z0-9+/=_-]+/g;
const JWT = /\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g;
const QUERY_SECRET =
  /([?&;\s"']|^)((?:x-amz-[a-z-]+|signature|sig|token|access_token|apikey|api_key|key|password|secret|policy|key-pair-id)=)[^&\s"'<>]+/gi;

/** Redacts every URL and every known form of token in free text (an error message, a line of stderr). */
export function redactText(text: string): string {
  return text
    .replace(URL_IN_TEXT, redactUrl)
    .replace(BEARER, "$1 …")
    .replace(JWT, "…")
    .replace(TOKEN, "…")
    .replace(QUERY_SECRET, "$1$2…");
}
