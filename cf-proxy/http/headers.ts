// The headers that are forwarded to a source and back, by allow-list; CORS and content security policy.
// Example: `Set-Cookie`, `Alt-Svc` and every other header that is not listed here never reaches the viewer.
import { servedType } from "./media_type.ts";

/** On every response: CORS, and a policy that lets no proxied content run on the proxy's origin. */
export const COMMON_HEADERS: Readonly<Record<string, string>> = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers":
    "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, Content-Type, ETag, Last-Modified, Retry-After",
  // Lets cross-origin isolated pages (COEP) embed media.
  "cross-origin-resource-policy": "cross-origin",
  "content-security-policy": "default-src 'none'; sandbox",
  // A cached response for a player must not be shown as a page.
  vary: "Sec-Fetch-Dest",
  "x-content-type-options": "nosniff",
};

/** For a video opened in a tab: the browser creates a page around it, which loads the same URL as its video. */
export const TAB_POLICY = "default-src 'none'; media-src 'self'; sandbox";

export const PREFLIGHT: Readonly<Record<string, string>> = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
  "Access-Control-Allow-Headers": "Range, If-Range, If-None-Match, If-Modified-Since, If-Match, If-Unmodified-Since",
  "Access-Control-Max-Age": "86400",
};

export const CONDITIONAL = [
  "if-range",
  "if-none-match",
  "if-modified-since",
  "if-match",
  "if-unmodified-since",
] as const;
const FROM_CLIENT: ReadonlySet<string> = new Set(["range", ...CONDITIONAL]);

/** Context headers that may be sent to a source; cookies and credentials are not among them. */
const CONTEXT_HEADERS: ReadonlySet<string> = new Set(["referer", "origin", "user-agent", "accept", "accept-language"]);

const FROM_SOURCE: ReadonlySet<string> = new Set([
  "accept-ranges",
  "cache-control",
  "content-language",
  "content-length",
  "content-range",
  "content-type",
  "date",
  "etag",
  "expires",
  "last-modified",
  "retry-after",
]);

export interface SourceRequest {
  readonly client: Headers;
  readonly context: Readonly<Record<string, string>> | undefined;
  /** Without Range and conditions: a playlist is served rewritten, so ranges and validators of the original do not apply. */
  readonly whole: boolean;
}

/** Headers of the request to a source. Identity encoding, because a player cannot use a range of compressed bytes. */
export function sourceRequestHeaders({ client, context, whole }: SourceRequest): HeaderRecord {
  const headers: HeaderRecord = {
    accept: "*/*",
    "accept-encoding": "identity",
    "user-agent": "Mozilla/5.0 (keepstream)",
  };
  for (const name in context) if (CONTEXT_HEADERS.has(name)) headers[name] = context[name]!;
  if (whole) return headers;
  for (const [name, value] of client) if (FROM_CLIENT.has(name)) headers[name] = value;
  return headers;
}

/** Header names in lower case. A plain object, because each call on Headers crosses into the runtime. */
export type HeaderRecord = Record<string, string>;

/** Headers of the response, from the source's. The extension of `url` sets a missing or unspecific media type. */
export function responseHeaders(source: Response, url: URL): HeaderRecord {
  const headers: HeaderRecord = { ...COMMON_HEADERS };
  let decoded = false;
  for (const [name, value] of source.headers) {
    if (FROM_SOURCE.has(name)) headers[name] = value;
    // A link opened in a tab should play, not download.
    else if (name === "content-disposition") headers["content-disposition"] = "inline";
    else if (name === "content-encoding") decoded = true;
  }
  if (decoded) {
    // The runtime has decoded the body; length and ranges are those of the encoded one.
    delete headers["content-length"];
    delete headers["accept-ranges"];
  }
  setContentType(headers, source.status, url);
  if (source.status >= 400) headers["cache-control"] = "no-store";
  return headers;
}

/** Redirects the viewer to the source; not cached, without a Referer. */
export function redirectResponse(location: string): Response {
  const headers = {
    ...COMMON_HEADERS,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    Location: location,
  };
  return new Response(null, { status: 302, headers });
}

function setContentType(headers: HeaderRecord, status: number, url: URL): void {
  if (status === 304 || status === 416) {
    delete headers["content-type"];
    return;
  }
  const guess = status < 300 ? TYPE_BY_EXTENSION[extension(url)] : undefined;
  headers["content-type"] = servedType(headers["content-type"] ?? null, guess ?? "application/octet-stream");
}

const TYPE_BY_EXTENSION: Readonly<Record<string, string>> = {
  aac: "audio/aac",
  ass: "text/x-ssa",
  cmfa: "audio/mp4",
  cmfv: "video/mp4",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  m3u: "application/vnd.apple.mpegurl",
  m3u8: "application/vnd.apple.mpegurl",
  m4a: "audio/mp4",
  m4s: "video/iso.segment",
  m4v: "video/mp4",
  mkv: "video/x-matroska",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  png: "image/png",
  srt: "application/x-subrip",
  ts: "video/mp2t",
  vtt: "text/vtt",
  webm: "video/webm",
  webp: "image/webp",
};

/** `ts` for `/a/x.m3u8/seg1.TS?y=.mp4`: from the last segment of the path. */
export function extension(url: URL): string {
  const name = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  return dot === -1 ? "" : name.slice(dot + 1).toLowerCase();
}
