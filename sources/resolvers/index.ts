// Embed page → media URL. The resolver is selected by the page, not by its host.
// Example: await resolveServer({ embedUrl: "https://player.test/e/1" }, { fetch, signal, now }) → { url, kind: "hls", … }.
// Runs on: Deno, edge runtime.
import { parseHttpUrl } from "../../core/http_url.ts";
import type { UrlPolicy } from "../../core/url_policy.ts";
import type { PerHostLimiter } from "../fetch/per_host_limiter.ts";
import { sleep } from "../../core/sleep.ts";
import { MEDIA_KINDS, type MediaKind, mediaKindOfType } from "../page/media_kind.ts";
import { frameUrl } from "../page/iframe.ts";
import type { ParseBudget } from "../page/parse_budget.ts";
import { createPageClient, type Fetch, type PageClient, type SiteHeaders } from "../fetch/page_client.ts";
import { directMedia, resolveDirect } from "./direct.ts";
import { resolveInertiaPage } from "./inertia_page.ts";
import { parseMegaLink, resolveMega } from "./mega.ts";
import type { SolveMegaChallenge } from "./mega_challenge.ts";
import { resolvePackedPlayer } from "./packed_player.ts";
import { resolvePlayerFile } from "./player_file.ts";
import type { PageResolver, Resolved } from "./resolver.ts";
import { SourceError, toSourceError } from "../source_error.ts";
import { tags } from "../page/tags.ts";

export type { Resolved } from "./resolver.ts";

export interface ServerToResolve {
  /** The embed page; null or equal to `videoUrl` if the URL itself is media. */
  readonly embedUrl: string | null;
  readonly videoUrl?: string | null;
  readonly kind?: string | null;
}

export interface ResolveTools {
  readonly fetch: Fetch;
  readonly signal: AbortSignal;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly policy?: UrlPolicy;
  readonly limiter?: PerHostLimiter;
  readonly userAgent?: string;
  /** URL of the MEGA API; without it, MEGA links are not resolved. */
  readonly megaApiUrl?: string;
  /** Only in the runner: a proof of work takes too long for the edge. */
  readonly solveMegaChallenge?: SolveMegaChallenge;
  /** Hosts whose pages only the named resolver may read. */
  readonly resolverOfHost?: Readonly<Record<string, string>>;
  readonly siteHeaders?: SiteHeaders;
  readonly requestsPerHost?: number;
  readonly beforeRequest?: (url: URL, signal: AbortSignal) => Promise<void>;
  readonly parseBudget?: ParseBudget;
}

/** In this order: the first one that recognises the page decides. */
const PAGE_RESOLVERS = {
  "inertia-page": resolveInertiaPage,
  "packed-player": resolvePackedPlayer,
  "player-file": resolvePlayerFile,
} as const satisfies Readonly<Record<string, PageResolver>>;

export const RESOLVER_NAMES = Object.keys(PAGE_RESOLVERS) as readonly (keyof typeof PAGE_RESOLVERS)[];

/** How many nested frames are followed. */
const MAX_FRAMES = 2;
/** A response needs dozens of such pages; a player with its packed script has about 50 kB. */
const MAX_EMBED_PAGE_BYTES = 512 * 1024;

/**
 * Finds the media behind a server.
 *
 * @throws {SourceError} with `reason` gone, quota, subscription, unsupported, blocked, timeout, …
 */
export async function resolveServer(server: ServerToResolve, tools: ResolveTools): Promise<Resolved> {
  const known = knownMedia(server);
  const embed = server.embedUrl;
  if (embed === null || embed === server.videoUrl) {
    if (known !== null) return known;
    if (embed === null) throw new SourceError("invalid_input", "the server has neither an embed page nor media");
  }
  try {
    return await resolveEmbed(embed, tools);
  } catch (thrown) {
    const error = toSourceError(thrown, tools.signal);
    // The page may have changed while the known URL still works, unless the file was removed or the URL is refused.
    if (known === null || FINAL.has(error.reason)) throw error;
    return known;
  }
}

const FINAL = new Set(["gone", "cancelled", "policy_denied", "invalid_input", "subscription"]);

function knownMedia({ embedUrl, videoUrl, kind }: ServerToResolve): Resolved | null {
  const url = parseHttpUrl(videoUrl ?? "");
  if (url === null) return null;
  if (kind === "mega") {
    if (parseMegaLink(url) !== null) return null; // the link, not the URL of the file
    const key = parseMegaLink(embedUrl ?? "")?.key; // without it the bytes cannot be decrypted
    return key === undefined ? null : { ...directMedia(url, kind), megaKey: key };
  }
  return isMediaKind(kind) ? directMedia(url, kind) : resolveDirect(url);
}

async function resolveEmbed(embedUrl: string, tools: ResolveTools): Promise<Resolved> {
  const direct = resolveDirect(embedUrl);
  if (direct !== null) return direct;
  const pages = createPageClient(tools);
  const mega = parseMegaLink(embedUrl);
  if (mega !== null) {
    if (!tools.megaApiUrl) throw new SourceError("unsupported", "MEGA_API_URL is not set");
    const { megaApiUrl: apiUrl, solveMegaChallenge: solve, signal } = tools;
    return await resolveMega(mega, {
      apiUrl,
      pages,
      pause: (ms) => sleep(ms, signal),
      ...(solve && { solve: (challenge) => solve(challenge, signal) }),
    });
  }
  return await resolvePage(embedUrl, { pages, pins: tools.resolverOfHost ?? {}, framesLeft: MAX_FRAMES });
}

interface PageTools {
  readonly pages: PageClient;
  readonly pins: Readonly<Record<string, string>>;
  readonly framesLeft: number;
}

async function resolvePage(url: string, { pages, pins, framesLeft }: PageTools): Promise<Resolved> {
  const page = await pages.read(url, {
    maxBytes: MAX_EMBED_PAGE_BYTES,
    skipBody: (headers) => kindOf(headers) !== null,
  });
  const kind = kindOf(page.headers);
  if (kind !== null) return directMedia(page.url, kind);
  const pin = pins[new URL(page.url).hostname];
  for (const name of RESOLVER_NAMES) {
    if (pin !== undefined && pin !== name) continue;
    const resolved = await PAGE_RESOLVERS[name]({ url: page.url, html: page.text }, pages);
    if (resolved !== null) return resolved;
  }
  const frame = framesLeft > 0 ? framedPlayer(page.text, page.url) : null;
  if (frame === null) throw new SourceError("unsupported", "no resolver recognises this page");
  return resolveDirect(frame) ?? await resolvePage(frame, { pages, pins, framesLeft: framesLeft - 1 });
}

/** The page's only frame. Of several frames, any may be an advertisement. */
function framedPlayer(html: string, base: string): string | null {
  const frames = [...tags(html)].filter(({ name }) => name === "iframe");
  return frames.length === 1 ? frameUrl(frames[0]!, base) : null;
}

function kindOf(headers: Headers): MediaKind | null {
  return mediaKindOfType(headers.get("content-type"));
}

function isMediaKind(kind: string | null | undefined): kind is MediaKind {
  return (MEDIA_KINDS as readonly string[]).includes(kind ?? "");
}
