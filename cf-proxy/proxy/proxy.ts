// GET and HEAD /proxy?url=…: checks the URL and its signature, fetches, and responds with the bytes or a rewritten playlist.
// JavaScript touches media bytes only if the body is encrypted.
import { isLoopbackUrl } from "../../core/allowed_origins.ts";
import { looksLikePlaylist } from "../../core/hls/playlist.ts";
import { type LinkError, type VerifiedLink, verifyLink } from "../../core/link.ts";
import { parseRange } from "../../core/http/range.ts";
import { ok, type Result } from "../../core/result.ts";
import { checkUrl, MAX_URL_LENGTH, type UrlPolicy } from "../../core/url_policy.ts";
import type { Invocation } from "../invocation.ts";
import { archivedFileOf, fetchArchived } from "../archive/archive.ts";
import { isSidecarText, sidecarResponse } from "../archive/sidecar.ts";
import { takedownOf } from "../archive/takedowns.ts";
import type { Config } from "../env.ts";
import { episodeServerOf } from "../failover/api.ts";
import { fetchWithFailover } from "../failover/failover.ts";
import { fetchOrigin, type OriginRequest, withPlayerParameters } from "../failover/origin_fetch.ts";
import { recordPlaylist } from "../failover/recorded.ts";
import { decoded } from "../http/content_encoding.ts";
import { destinationOf } from "../http/fetch_destination.ts";
import { extension, redirectResponse, responseHeaders, TAB_POLICY } from "../http/headers.ts";
import { isActive, isPlayable, isPlaylistType, mediaType, MPD_TYPE } from "../http/media_type.ts";
import { badGateway, type Problem, PROBLEM_TYPE, problemResponse } from "../http/problem.ts";
import type { Upstream } from "../http/upstream.ts";
import { jsonResponse, playlistHeadResponse, playlistResponse, type RewriteContext } from "../playlist/playlist.ts";
import { readText, sniff } from "../playlist/read_text.ts";
import { isMpdUrl, kindOf, MAX_JSON_BYTES, MEDIA_EXTENSIONS } from "../playlist/response_kind.ts";
import { subtitlesResponse } from "../playlist/subtitles.ts";
import { decryptResponse } from "./decrypt.ts";

export async function proxy(request: Request, requestUrl: URL, invocation: Invocation): Promise<Response> {
  const { config } = invocation;
  const destination = destinationOf(request.headers);
  if (destination === "code") return problemResponse(destinationRefused(403));
  const target = requestUrl.searchParams.get("url");
  // Before the signature, so that a private host is refused the same way in signed and unsigned links.
  const refused = urlProblem(target, urlPolicy(requestUrl, config, { archive: true }));
  if (refused !== null) return problemResponse(refused);
  const verified = await verifyLink(requestUrl, config.keys, Date.now() / 1000);
  if (!verified.ok) return problemResponse(linkProblem(verified.error));
  const link = verified.value;
  const policy = urlPolicy(requestUrl, config, { archive: link.context.archive === true });
  const denied = urlProblem(target, policy) ?? await takedownOf(link, invocation);
  if (denied !== null) return problemResponse(denied);
  if (parseRange(request.headers.get("range")).kind === "unusable") {
    return problemResponse({ status: 416, code: "range_unusable", detail: "the Range header cannot be satisfied" });
  }
  const options = { policy, headerTimeoutMs: config.headerTimeoutMs };
  const archived = archivedFileOf(link, config);
  if (archived === null && link.context.files !== undefined) return problemResponse(OTHER_FILE);
  if (archived !== null && isSidecarText(archived)) {
    const sidecar = { request, file: archived, link, keys: config.keys, options: { ...options, invocation } };
    const response = await sidecarResponse(sidecar);
    return destination === "page" ? await onlyPlayable(response) : response;
  }
  const url = withPlayerParameters(link.url, requestUrl);
  if (config.redirectMode && isRedirectable(link, config)) return redirectResponse(url.href);
  const upstream = await fetchLink(request, { link, url, options, invocation });
  if (!upstream.ok) return problemResponse(upstream.error);
  if (upstream.value.final) return upstream.value.response;
  const read = request.method === "HEAD" ? ok(upstream.value.response) : await decoded(upstream.value.response);
  if (!read.ok) return problemResponse(read.error);
  const response = await respond(request, { ...upstream.value, response: read.value }, {
    request,
    link,
    keys: config.keys,
    policy,
    invocation,
    cookies: upstream.value.cookies ?? null,
  });
  return destination === "page" ? await onlyPlayable(response) : response;
}

/** A response that a browser shows as a page has to be audio, video, a picture, a playlist or one of our own problems. */
async function onlyPlayable(response: Response): Promise<Response> {
  const type = mediaType(response.headers.get("content-type"));
  if (isPlayable(type)) response.headers.set("content-security-policy", TAB_POLICY);
  if (response.status === 304 || isPlayable(type) || type === PROBLEM_TYPE) return response;
  await response.body?.cancel();
  return problemResponse(destinationRefused(response.status < 400 ? 403 : response.status));
}

function destinationRefused(status: number): Problem {
  const detail =
    "a browser may open audio, video, pictures and playlists only; other types are for players and programs";
  return { status, code: "destination_refused", detail };
}

/** Whether the viewer can fetch the same bytes: nothing to rewrite or decrypt, no request headers to add. */
function isRedirectable(link: VerifiedLink, config: Config): boolean {
  const { url, context } = link;
  return MEDIA_EXTENSIONS.has(extension(url)) && context.headers === undefined && context.cookies === undefined &&
    context.megaKey === undefined && context.subtitles === undefined &&
    archivedFileOf(link, config) === null;
}

async function fetchLink(request: Request, origin: OriginRequest): Promise<Result<Upstream, Problem>> {
  const { link, options, invocation } = origin;
  const file = archivedFileOf(link, invocation.config);
  if (file !== null) return await fetchArchived(request, file, { ...options, invocation });
  const server = episodeServerOf(link);
  const upstream = server === null
    ? await fetchOrigin(request, origin)
    : await fetchWithFailover(request, origin, server);
  const { megaKey } = link.context;
  if (!upstream.ok || megaKey === undefined) return upstream;
  const decrypted = decryptResponse(upstream.value.response, megaKey);
  return decrypted.ok ? ok({ ...upstream.value, response: decrypted.value }) : decrypted;
}

async function respond(request: Request, upstream: Upstream, context: RewriteContext): Promise<Response> {
  const { response, url } = upstream;
  const { megaKey, archive, subtitles } = context.link.context;
  // An archive is media, whatever its type says. Rewritten as a source's playlist, it could use the storage credentials for any URL it
  // lists; its own playlists are served by sidecarResponse.
  const kind = megaKey === undefined && archive === undefined ? kindOf(upstream, request, context.link.url) : "other";
  if (subtitles === true && kind !== "playlist" && response.status === 200) {
    return isPage(response) ? await notMedia(response.body) : await subtitlesResponse(response, context);
  }
  if (request.method === "HEAD") {
    if (kind === "playlist") return playlistHeadResponse(isMpd(response, context.link.url));
    return new Response(null, { status: response.status, headers: responseHeaders(response, context.link.url) });
  }
  if (kind === "playlist") return await respondWithPlaylist(response, url, context);
  if (response.status === 206 && response.headers.has("content-encoding")) {
    await response.body?.cancel();
    return problemResponse(badGateway("encoded_range", "the source sent a range of a compressed body"));
  }
  if (kind === "json") {
    const text = await readText(response, context.invocation.config.headerTimeoutMs, MAX_JSON_BYTES);
    return text.ok ? await jsonResponse(text.value, url, context) : problemResponse(text.error);
  }
  const headers = responseHeaders(response, context.link.url);
  if (response.body !== null && (kind === "maybe" || isPage(response))) {
    const { isPlaylist, isPage: isText, body } = await sniff(response);
    if (kind === "maybe" && isPlaylist) {
      return await respondWithPlaylist(new Response(body, { headers: response.headers }), url, context);
    }
    if (!isPage(response)) return new Response(body, { status: response.status, headers });
    if (isText) return await notMedia(body);
    // Some hosts send segments as text/html.
    const untyped = new Response(body, response);
    untyped.headers.delete("content-type");
    return new Response(untyped.body, {
      status: response.status,
      headers: responseHeaders(untyped, context.link.url),
    });
  }
  return new Response(response.body, { status: response.status, headers });
}

async function respondWithPlaylist(response: Response, url: URL, context: RewriteContext): Promise<Response> {
  const { link, invocation } = context;
  const text = await readText(response, invocation.config.headerTimeoutMs);
  if (!text.ok) return problemResponse(text.error);
  const rewritten = await playlistResponse(text.value, url, context);
  if (!rewritten.ok) return problemResponse(rewritten.error);
  const server = episodeServerOf(link);
  const waitUntil = (work: Promise<unknown>) => invocation.context.waitUntil(work);
  if (server !== null && looksLikePlaylist(text.value)) {
    waitUntil(recordPlaylist(text.value, url, { link, server, waitUntil }));
  }
  return rewritten.value;
}

/** Hosts that block or rate-limit often send a page with status 200, which no player can use. */
async function notMedia(body: ReadableStream | null): Promise<Response> {
  await body?.cancel();
  return problemResponse(badGateway("not_media", "the source sent a web page instead of media"));
}

function isMpd(response: Response, signed: URL): boolean {
  const type = mediaType(response.headers.get("content-type"));
  return type === MPD_TYPE || (!isPlaylistType(type) && isMpdUrl(signed));
}

function isPage(response: Response): boolean {
  return response.status < 300 && isActive(mediaType(response.headers.get("content-type")));
}

function urlProblem(url: string | null, policy: UrlPolicy): Problem | null {
  if (url === null || url === "") return linkProblem("missing_url");
  if (url.length > MAX_URL_LENGTH) return linkProblem("too_long");
  const allowed = checkUrl(url, policy);
  if (allowed.ok) return null;
  const { code, reason } = allowed.error;
  return { status: code === "invalid_input" ? 400 : 403, code, detail: `the URL is refused: ${reason}` };
}

const OTHER_FILE: Problem = {
  status: 403,
  code: "archive_refused",
  detail: "the link is for other files than this one; use the links of the episode's response and of its playlists",
};

const LINK_PROBLEMS: Readonly<Record<LinkError, readonly [status: number, detail: string]>> = {
  missing_url: [400, "the parameter url is missing"],
  invalid_url: [400, "the parameter url is not a URL"],
  too_long: [414, `the URL is longer than ${MAX_URL_LENGTH} characters`],
  unsigned: [403, "the link is not signed"],
  malformed: [403, "the link's signature is malformed"],
  unknown_key: [403, "the link is signed with an unknown key"],
  bad_signature: [403, "the link's signature does not match its URL"],
  expired: [403, "the link has expired; request the episode again"],
};

function linkProblem(code: LinkError): Problem {
  const [status, detail] = LINK_PROBLEMS[code];
  return { status, code, detail };
}

/** Development origins are allowed only if the Worker itself is requested on a loopback host. */
function urlPolicy(requestUrl: URL, config: Config, { archive }: { archive: boolean }): UrlPolicy {
  return {
    ownHosts: [requestUrl.host],
    extraPorts: config.extraPorts,
    ...(config.allowedHosts === undefined ? {} : { allowedHosts: config.allowedHosts }),
    // The operator's storage may be on private hosts, but only archive links lead there.
    allowedOrigins: [
      ...(archive ? config.storageOrigins : []),
      ...(isLoopbackUrl(requestUrl.href) ? config.devAllowedOrigins : []),
    ],
  };
}
