// Serves playlists, MPDs, and the JSON that playlists refer to, with every URL replaced by a signed proxy link.
import { looksLikeMpd } from "../../core/dash/levels.ts";
import { rewriteMpd } from "../../core/dash/rewrite.ts";
import { looksLikePlaylist } from "../../core/hls/playlist.ts";
import { type RewriteOptions, rewritePlaylist, rewriteUrl, type SignRequest } from "../../core/hls/rewrite.ts";
import { parseJsonObject } from "../../core/json_object.ts";
import {
  directoryCount,
  isEmpty,
  type LinkContext,
  MAX_SCOPE_DIRECTORIES,
  sealContext,
  type SigningKeys,
  signTail,
  type VerifiedLink,
} from "../../core/link.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { UrlPolicy } from "../../core/url_policy.ts";
import type { Invocation } from "../invocation.ts";
import { COMMON_HEADERS } from "../http/headers.ts";
import { MPD_TYPE, PLAYLIST_TYPE } from "../http/media_type.ts";
import { badGateway, type Problem } from "../http/problem.ts";

const MAX_ASSETS = 100;

export interface RewriteContext {
  readonly request: Request;
  readonly link: VerifiedLink;
  readonly keys: SigningKeys;
  readonly policy: UrlPolicy;
  readonly invocation: Invocation;
  /** The Cookie header for the playlist's origin, after its response. */
  readonly cookies: string | null;
}

export async function playlistResponse(
  text: string,
  url: URL,
  context: RewriteContext,
): Promise<Result<Response, Problem>> {
  const isMpd = looksLikeMpd(text);
  if (!isMpd && !looksLikePlaylist(text)) {
    return err(badGateway("not_a_playlist", "the source's response is neither a playlist nor an MPD"));
  }
  const options = rewriteOptions(url, context);
  const rewritten = isMpd ? await rewriteMpd(text, options) : await rewritePlaylist(text, options);
  if (!rewritten.ok) {
    const { code, reason, line } = rewritten.error;
    const where = line === undefined ? "" : ` (line ${line})`;
    return err(
      badGateway(`playlist_${code}`, `the source's ${isMpd ? "MPD" : "playlist"} cannot be served: ${reason}${where}`),
    );
  }
  return ok(textResponse(rewritten.value, isMpd ? MPD_TYPE : PLAYLIST_TYPE));
}

/** The response to HEAD. It has no Content-Length, which is not known without rewriting the playlist. */
export function playlistHeadResponse(isMpd: boolean): Response {
  return new Response(null, { headers: textResponse("", isMpd ? MPD_TYPE : PLAYLIST_TYPE).headers });
}

/** Rewrites the URLs of asset lists (X-ASSET-LIST) and content steering manifests; other JSON is served unchanged. */
export async function jsonResponse(text: string, url: URL, context: RewriteContext): Promise<Response> {
  const options = rewriteOptions(url, context);
  const json = parseJsonObject(text);
  if (json !== null && Array.isArray(json.ASSETS)) {
    const rewritten = json.ASSETS.slice(0, MAX_ASSETS).map(async (asset: { readonly URI?: unknown } | null) =>
      typeof asset?.URI === "string" ? { ...asset, URI: await rewriteUrl(asset.URI, options) } : asset
    );
    return textResponse(JSON.stringify({ ...json, ASSETS: await Promise.all(rewritten) }), "application/json");
  }
  if (json !== null && (Array.isArray(json["PATHWAY-PRIORITY"]) || Array.isArray(json["SERVICE-LOCATION-PRIORITY"]))) {
    const reload = json["RELOAD-URI"];
    if (typeof reload === "string") json["RELOAD-URI"] = await rewriteUrl(reload, options);
    // A clone replaces host and parameters of the playlist's URLs, which are proxy links now.
    delete json["PATHWAY-CLONES"];
    return textResponse(JSON.stringify(json), "application/json");
  }
  return textResponse(text, "application/json");
}

function textResponse(text: string, type: string): Response {
  return new Response(text, {
    headers: { ...COMMON_HEADERS, "Content-Type": type, "Cache-Control": "no-store" },
  });
}

function rewriteOptions(base: URL, context: RewriteContext): RewriteOptions {
  const { request, link, policy } = context;
  const own = new URL(request.url);
  // The link's own tail seals its own cookies only.
  const isUnchanged = base.origin !== link.url.origin || (context.cookies ?? undefined) === link.context.cookies;
  return {
    base,
    proxyUrl: `${own.origin}${own.pathname}`,
    policy,
    parent: { scope: isUnchanged ? link.scope : null, tail: link.tail },
    variables: new Map(Object.entries(link.context.variables ?? {})),
    sign: ({ href, exact, variables }) => signChild({ href, exact, variables }, base, context),
  };
}

async function signChild(
  { href, exact, variables }: SignRequest,
  base: URL,
  { link, keys, cookies }: RewriteContext,
): Promise<string> {
  const url = new URL(href);
  const scopeDirectories = exact ? null : Math.min(directoryCount(url), MAX_SCOPE_DIRECTORIES);
  const { cookies: own, ...context } = link.context;
  const sent = url.origin === base.origin ? cookies ?? undefined : url.origin === link.url.origin ? own : undefined;
  const isSame = variables.size === 0 && sent === own;
  const sealed = isSame ? link.sealed : await sealedOrNull({
    ...context,
    ...(sent === undefined ? {} : { cookies: sent }),
    ...(variables.size === 0 ? {} : { variables: Object.fromEntries(variables) }),
  }, { link, keys });
  return await signTail(url, { keys, kid: link.kid, expiresAt: link.expiresAt, scopeDirectories, sealed });
}

async function sealedOrNull(
  context: LinkContext,
  { link, keys }: Pick<RewriteContext, "link" | "keys">,
): Promise<string | null> {
  return isEmpty(context) ? null : await sealContext(context, keys, link.kid);
}
