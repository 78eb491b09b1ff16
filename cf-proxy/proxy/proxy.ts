// GET|HEAD /proxy?url=…: check the address, check the signature, fetch, and hand on bytes or a rewritten playlist.
// Runs on: workerd. No JavaScript touches a media byte unless the body is encrypted.
import { type LinkError, type VerifiedLink, verifyLink } from "../../core/link.ts";
import { parseRange } from "../../core/http/range.ts";
import { ok, type Result } from "../../core/result.ts";
import { checkUrl, MAX_URL_LENGTH, type UrlPolicy } from "../../core/url_policy.ts";
import type { Invocation } from "../invocation.ts";
import { archivedFileOf, fetchArchived } from "../archive/archive.ts";
import type { Config } from "../env.ts";
import { episodeOf } from "../failover/api.ts";
import { destinationOf } from "../http/fetch_destination.ts";
import { extension, redirectResponse, responseHeaders, TAB_POLICY } from "../http/headers.ts";
import { isActive, isPlayable, mediaType } from "../http/media_type.ts";
import { decryptResponse } from "./decrypt.ts";
import {
  jsonResponse,
  kindOf,
  MAX_JSON_BYTES,
  MEDIA_EXTENSIONS,
  playlistHead,
  playlistResponse,
  readText,
  type RewriteContext,
  sniff,
} from "../playlist/playlist.ts";
import { type Problem, problem, PROBLEM_TYPE } from "../http/problem.ts";
import { fetchServer } from "../failover/failover.ts";
import { noteList } from "../failover/segments.ts";
import { fetchSource, type Target, withPlayerParameters } from "../failover/origin_fetch.ts";
import { takedownOf } from "../archive/takedowns.ts";
import { badGateway, type Upstream } from "../http/upstream.ts";

export async function proxy(request: Request, requestUrl: URL, invocation: Invocation): Promise<Response> {
  const { config } = invocation;
  const destination = destinationOf(request.headers);
  if (destination === "code") return problem(notMediaDestination(403));
  const address = requestUrl.searchParams.get("url");
  const refused = checkAddress(address, targetPolicy(requestUrl, config, { archive: true }));
  if (refused !== null) return problem(refused);
  const link = await verifyLink(requestUrl, config.keys, Date.now() / 1000);
  if (!link.ok) return problem(linkProblem(link.error));
  const policy = targetPolicy(requestUrl, config, { archive: link.value.context.archive === true });
  const denied = checkAddress(address, policy);
  if (denied !== null) return problem(denied);
  const takenDown = await takedownOf(link.value, invocation);
  if (takenDown !== null) return problem(takenDown);
  if (parseRange(request.headers.get("range")).kind === "unusable") {
    return problem({ status: 416, code: "range_unusable", detail: "the Range header cannot be satisfied" });
  }
  const target = withPlayerParameters(link.value.url, requestUrl);
  if (config.redirectMode && isRedirectable(link.value, config)) return redirectResponse(target.href);
  const options = { policy, headerTimeoutMs: config.headerTimeoutMs };
  const upstream = await fetchTarget(request, { link: link.value, target, options, invocation });
  if (!upstream.ok) return problem(upstream.error);
  if (upstream.value.final) return upstream.value.response;
  const context = { request, link: link.value, keys: config.keys, policy, invocation };
  const response = await answer(request, upstream.value, context);
  return destination === "page" ? await playableOnly(response) : response;
}

/** What a browser shows by itself has to be audio, video, a picture or a playlist, or a problem of our own. */
async function playableOnly(response: Response): Promise<Response> {
  const type = mediaType(response.headers.get("content-type"));
  if (isPlayable(type)) response.headers.set("content-security-policy", TAB_POLICY);
  if (response.status === 304 || isPlayable(type) || type === PROBLEM_TYPE) return response;
  await response.body?.cancel();
  return problem(notMediaDestination(response.status < 400 ? 403 : response.status));
}

function notMediaDestination(status: number): Problem {
  const detail =
    "only audio, video, pictures and playlists open in a browser; anything else is for players and programs";
  return { status, code: "destination_refused", detail };
}

/** Media whose bytes the viewer can fetch as well: nothing to rewrite, to decrypt, or to send along. */
function isRedirectable(link: VerifiedLink, config: Config): boolean {
  const { url, context } = link;
  return MEDIA_EXTENSIONS.has(extension(url)) && context.headers === undefined && context.megaKey === undefined &&
    archivedFileOf(link, config) === null;
}

async function fetchTarget(request: Request, target: Target): Promise<Result<Upstream, Problem>> {
  const { link, options, invocation } = target;
  const file = archivedFileOf(link, invocation.config);
  if (file !== null) return await fetchArchived(request, file, { ...options, invocation });
  const episode = episodeOf(link);
  const upstream = episode === null ? await fetchSource(request, target) : await fetchServer(request, target, episode);
  const key = link.context.megaKey;
  if (!upstream.ok || key === undefined) return upstream;
  const plain = decryptResponse(upstream.value.response, key);
  return plain.ok ? ok({ ...upstream.value, response: plain.value }) : plain;
}

async function answer(request: Request, upstream: Upstream, context: RewriteContext): Promise<Response> {
  const { response, url } = upstream;
  const { megaKey, archive } = context.link.context;
  // An archive is one media file. Taken for a playlist, it could hand its credentials on to whatever it names.
  const kind = megaKey === undefined && archive === undefined ? kindOf(upstream, request, context.link.url) : "other";
  if (request.method === "HEAD") {
    if (kind === "playlist") return playlistHead();
    return new Response(null, { status: response.status, headers: responseHeaders(response, context.link.url) });
  }
  if (kind === "playlist") return await playlist(response, url, context);
  if (kind !== "maybe" && isPage(response)) return await notMedia(response.body);
  if (response.status === 206 && response.headers.has("content-encoding")) {
    await response.body?.cancel();
    return problem(badGateway("encoded_range", "the source answered with a part of a compressed body"));
  }
  if (kind === "json") {
    const text = await readText(response, context.invocation.config.headerTimeoutMs, MAX_JSON_BYTES);
    return text.ok ? await jsonResponse(text.value, url, context) : problem(text.error);
  }
  const headers = responseHeaders(response, context.link.url);
  if (kind === "maybe" && response.body !== null) {
    const { playlist: is, body } = await sniff(response);
    if (is) return await playlist(new Response(body), url, context);
    if (isPage(response)) return await notMedia(body);
    return new Response(body, { status: response.status, headers });
  }
  return new Response(response.body, { status: response.status, headers });
}

async function playlist(response: Response, url: URL, context: RewriteContext): Promise<Response> {
  const text = await readText(response, context.invocation.config.headerTimeoutMs);
  if (!text.ok) return problem(text.error);
  const rewritten = await playlistResponse(text.value, url, context);
  if (!rewritten.ok) return problem(rewritten.error);
  const { link } = context;
  const episode = episodeOf(link);
  const waitUntil = (work: Promise<unknown>) => context.invocation.context.waitUntil(work);
  if (episode !== null) waitUntil(noteList(text.value, url, { link, episode, waitUntil }));
  return rewritten.value;
}

/** Hosts that block or rate-limit often answer 200 with a page; a player could make nothing of it. */
async function notMedia(body: ReadableStream | null): Promise<Response> {
  await body?.cancel();
  return problem(badGateway("not_media", "the source answered with a web page instead of media"));
}

function isPage(response: Response): boolean {
  return response.status < 300 && isActive(mediaType(response.headers.get("content-type")));
}

function checkAddress(address: string | null, policy: UrlPolicy): Problem | null {
  if (address === null || address === "") {
    return { status: 400, code: "missing_url", detail: "the parameter url is missing" };
  }
  if (address.length > MAX_URL_LENGTH) return { status: 414, code: "too_long", detail: "the address is too long" };
  const target = checkUrl(address, policy);
  if (target.ok) return null;
  const { code, reason } = target.error;
  return { status: code === "invalid_input" ? 400 : 403, code, detail: `the address is refused: ${reason}` };
}

const LINK_PROBLEMS: Readonly<Record<LinkError, readonly [status: number, detail: string]>> = {
  missing_url: [400, "the parameter url is missing"],
  invalid_url: [400, "the parameter url is no address"],
  too_long: [414, "the address is too long"],
  unsigned: [403, "the link is not signed"],
  malformed: [403, "the link's signature cannot be read"],
  unknown_key: [403, "the link was signed with a key that is not in use"],
  bad_signature: [403, "the link's signature does not cover this address"],
  expired: [403, "the link has expired; ask for the episode again"],
};

function linkProblem(code: LinkError): Problem {
  const [status, detail] = LINK_PROBLEMS[code];
  return { status, code, detail };
}

/** What the Worker may fetch. A development origin counts only when the Worker itself is asked on this machine. */
function targetPolicy(requestUrl: URL, config: Config, { archive }: { archive: boolean }): UrlPolicy {
  const loopback = ["127.0.0.1", "[::1]", "localhost"].includes(requestUrl.hostname);
  return {
    ownHosts: [requestUrl.host],
    extraPorts: config.extraPorts,
    ...(config.allowedHosts === undefined ? {} : { allowedHosts: config.allowedHosts }),
    // The operator named the storage, wherever it stands; nobody else's link leads there.
    allowedOrigins: [...(archive ? config.storageOrigins : []), ...(loopback ? config.devAllowedOrigins : [])],
  };
}
