// Decides whether an answer is a playlist, and serves it rewritten. Also the JSON that playlists point at.
// Runs on: workerd.
import { looksLikePlaylist } from "../../core/hls/playlist.ts";
import { type RewriteOptions, rewritePlaylist, rewriteUrl } from "../../core/hls/rewrite.ts";
import {
  directoryCount,
  MAX_SCOPE_DIRECTORIES,
  sealContext,
  type SigningKeys,
  signTail,
  type VerifiedLink,
} from "../../core/link.ts";
import { parseContentRange } from "../../core/http/range.ts";
import { parseJsonObject } from "../../core/json_object.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { UrlPolicy } from "../../core/url_policy.ts";
import type { Invocation } from "../invocation.ts";
import { COMMON_HEADERS, extension } from "../http/headers.ts";
import { isOctetStream, isPlaylistType, mediaType, PLAYLIST_TYPE } from "../http/media_type.ts";
import type { Problem } from "../http/problem.ts";
import { badGateway, sourceTimeout, type Upstream } from "../http/upstream.ts";

export const MAX_PLAYLIST_BYTES = 4 * 1024 * 1024;
/** Asset lists and steering manifests are small; larger JSON is not parsed. */
export const MAX_JSON_BYTES = 256 * 1024;
const READ_BYTES = 256 * 1024;

/** Whether the address alone says playlist: then no Range and no condition goes to the source. */
export function isPlaylistUrl(url: URL): boolean {
  const ending = extension(url);
  return ending === "m3u8" || ending === "m3u";
}

/** `playlist`: serve it rewritten or not at all. `maybe`: only its first bytes tell. `json`: may name addresses. */
export type Kind = "playlist" | "maybe" | "json" | "other";

export function kindOf(upstream: Upstream, request: Request, signed: URL): Kind {
  const { response, url } = upstream;
  if (response.status !== 200 && response.status !== 206) return "other";
  const type = mediaType(response.headers.get("content-type"));
  if (isPlaylistType(type) || isPlaylistUrl(signed)) return "playlist";
  if (!isWhole(response) || (request.headers.has("range") && !/^bytes=0-$/.test(request.headers.get("range")!))) {
    return "other";
  }
  const hinted = isPlaylistUrl(url) || /m3u8/i.test(signed.search);
  if (hinted) return "maybe";
  if (type === "application/json") return isSmall(response) ? "json" : "other";
  const mute = type === "" || isOctetStream(type) || type === "text/plain";
  return mute && !MEDIA_EXTENSIONS.has(extension(signed)) ? "maybe" : "other";
}

/** Files with these endings are not opened to see whether they are playlists. */
export const MEDIA_EXTENSIONS: ReadonlySet<string> = new Set(
  "mp4 m4s m4v m4a ts aac mp3 mkv webm vtt srt ass key jpg jpeg png webp cmfv cmfa".split(" "),
);

/** Not known to be larger than what is read into memory. */
function isSmall(response: Response): boolean {
  return Number(response.headers.get("content-length") ?? 0) <= MAX_JSON_BYTES;
}

/** The whole representation: a 200, or a 206 whose range is all of it. */
function isWhole(response: Response): boolean {
  if (response.status === 200) return true;
  const range = parseContentRange(response.headers.get("content-range"));
  return range !== null && range.span !== null && range.span.start === 0 && range.size === range.span.end + 1;
}

export interface RewriteContext {
  readonly request: Request;
  readonly link: VerifiedLink;
  readonly keys: SigningKeys;
  readonly policy: UrlPolicy;
  readonly invocation: Invocation;
}

/** A playlist's text rewritten into an answer. */
export async function playlistResponse(
  text: string,
  url: URL,
  context: RewriteContext,
): Promise<Result<Response, Problem>> {
  if (!looksLikePlaylist(text)) {
    return err(badGateway("not_a_playlist", "the source answered with something else than a playlist"));
  }
  const rewritten = await rewritePlaylist(text, rewriteOptions(url, context));
  if (!rewritten.ok) {
    const { code, reason, line } = rewritten.error;
    const where = line === undefined ? "" : ` (line ${line})`;
    return err(badGateway(`playlist_${code}`, `the source's playlist cannot be served: ${reason}${where}`));
  }
  return ok(textResponse(rewritten.value, PLAYLIST_TYPE));
}

/** Headers of a playlist's answer to HEAD: the rewritten length is not known without the text. */
export function playlistHead(): Response {
  const response = textResponse("", PLAYLIST_TYPE);
  return new Response(null, { headers: response.headers });
}

/**
 * JSON as players know it from playlists: asset lists (X-ASSET-LIST) and steering manifests get their addresses
 * rewritten, all other JSON stays as it is.
 */
export async function jsonResponse(text: string, url: URL, context: RewriteContext): Promise<Response> {
  const options = rewriteOptions(url, context);
  const json = parseJsonObject(text);
  if (json !== null && Array.isArray(json.ASSETS)) {
    const assets = json.ASSETS.slice(0, 100);
    const rewritten = assets.map(async (asset: { readonly URI?: unknown } | null) =>
      typeof asset?.URI === "string" ? { ...asset, URI: await rewriteUrl(asset.URI, options) } : asset
    );
    return textResponse(JSON.stringify({ ...json, ASSETS: await Promise.all(rewritten) }), "application/json");
  }
  if (json !== null && Array.isArray(json["PATHWAY-PRIORITY"])) {
    const reload = json["RELOAD-URI"];
    if (typeof reload === "string") json["RELOAD-URI"] = await rewriteUrl(reload, options);
    // A clone is made by replacing host and parameters in the playlist's addresses, which are ours now.
    delete json["PATHWAY-CLONES"];
    return textResponse(JSON.stringify(json), "application/json");
  }
  return textResponse(text, "application/json");
}

/** The whole body as text. It is held back until it is there, so that, unlike media, it has to come in time. */
export async function readText(
  response: Response,
  limitMs: number,
  maxBytes = MAX_PLAYLIST_BYTES,
): Promise<Result<string, Problem>> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), limitMs);
  try {
    const text = await Promise.race([readWhole(response, maxBytes), late.promise]);
    if (text === null) return err(badGateway("too_large", `the source's text is larger than ${maxBytes / 1024} KiB`));
    return text === undefined ? err(sourceTimeout(`the source sent no whole playlist in ${limitMs} ms`)) : ok(text);
  } catch {
    return err(badGateway("source_unreachable", "the source broke off in the middle of its playlist"));
  } finally {
    clearTimeout(timer);
  }
}

/** Null when it is larger than a playlist may be. */
async function readWhole(response: Response, maxBytes: number): Promise<string | null> {
  const length = response.headers.get("content-length");
  if (length !== null && !response.headers.has("content-encoding")) {
    // The runtime keeps a body to its length: one read, and no JavaScript per chunk.
    if (Number(length) <= maxBytes) return await response.text();
    await response.body?.cancel();
    return null;
  }
  return response.body === null ? "" : await readLimited(response.body, maxBytes);
}

async function readLimited(body: ReadableStream, maxBytes: number): Promise<string | null> {
  const reader = body.getReader({ mode: "byob" });
  const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: false });
  let text = "";
  let length = 0;
  for (;;) {
    const { done, value } = await reader.readAtLeast(READ_BYTES, new Uint8Array(READ_BYTES));
    length += value?.byteLength ?? 0;
    if (length > maxBytes) {
      await reader.cancel();
      return null;
    }
    text += decoder.decode(value ?? new Uint8Array(), { stream: !done });
    if (done) return text;
  }
}

/** Reads as far as it takes to tell a playlist from other things; what was read stands in front of the rest again. */
export async function sniff(
  response: Response,
): Promise<{ readonly playlist: boolean; readonly body: ReadableStream }> {
  const reader = response.body!.getReader();
  const head: Uint8Array[] = [];
  let length = 0;
  while (length < 16) {
    const { done, value } = await reader.read();
    if (done) break;
    head.push(value);
    length += value.byteLength;
  }
  reader.releaseLock();
  const playlist = looksLikePlaylist(decode(head).slice(0, 16));
  const { readable, writable } = new IdentityTransformStream();
  const rest = response.body!;
  // A viewer who goes away breaks the pipe: nobody is left to tell.
  (async () => {
    const writer = writable.getWriter();
    for (const chunk of head) await writer.write(chunk);
    writer.releaseLock();
    await rest.pipeTo(writable);
  })().catch(() => {});
  return { playlist, body: readable };
}

function decode(chunks: readonly Uint8Array[]): string {
  const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
  return chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("") + decoder.decode();
}

function textResponse(text: string, type: string): Response {
  return new Response(text, {
    headers: { ...COMMON_HEADERS, "Content-Type": type, "Cache-Control": "no-store" },
  });
}

function rewriteOptions(base: URL, { request, link, keys, policy }: RewriteContext): RewriteOptions {
  const own = new URL(request.url);
  return {
    base,
    proxyUrl: `${own.origin}${own.pathname}`,
    policy,
    parent: { scope: link.scope, tail: link.tail },
    variables: new Map(Object.entries(link.context.variables ?? {})),
    sign: ({ href, exact, variables }) => signChild({ href, exact, variables }, { link, keys }),
  };
}

async function signChild(
  { href, exact, variables }: { href: string; exact: boolean; variables: ReadonlyMap<string, string> },
  { link, keys }: { link: VerifiedLink; keys: SigningKeys },
): Promise<string> {
  const url = new URL(href);
  const scopeDirectories = exact ? null : Math.min(directoryCount(url), MAX_SCOPE_DIRECTORIES);
  const sealed = variables.size === 0
    ? link.sealed
    : await sealContext({ ...link.context, variables: Object.fromEntries(variables) }, keys, link.kid);
  return await signTail(url, { keys, kid: link.kid, expiresAt: link.expiresAt, scopeDirectories, sealed });
}
