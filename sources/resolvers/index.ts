// Embed page → playable address: the resolver is chosen by what the page is, not by its host.
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
  /** The embed page; null or equal to `videoUrl` where the address itself is media. */
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
  /** Address of the MEGA API; without it such links are not resolved. */
  readonly megaApiUrl?: string;
  /** Where there is time for a proof of work (the runner, not the edge). */
  readonly solveMegaChallenge?: SolveMegaChallenge;
  /** Hosts whose pages only the named resolver may read. */
  readonly resolverOfHost?: Readonly<Record<string, string>>;
  readonly siteHeaders?: SiteHeaders;
  readonly requestsPerHost?: number;
  readonly beforeRequest?: (url: URL, signal: AbortSignal) => Promise<void>;
  readonly parseBudget?: ParseBudget;
}

/** In this order: the first that knows the page decides. */
const PAGE_RESOLVERS = {
  "inertia-page": resolveInertiaPage,
  "packed-player": resolvePackedPlayer,
  "player-file": resolvePlayerFile,
} as const satisfies Readonly<Record<string, PageResolver>>;

export const RESOLVER_NAMES = Object.keys(PAGE_RESOLVERS) as readonly (keyof typeof PAGE_RESOLVERS)[];

/** A page that only frames another player is followed this far. */
const MAX_FRAMES = 2;
/** An answer has dozens of such pages; a player and its packed script take some 50 kB. */
const MAX_EMBED_PAGE_BYTES = 512 * 1024;

/**
 * Finds the media behind a server.
 *
 * @throws {SourceError} `reason` says why: gone, quota, subscription, unsupported, blocked, timeout, …
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
    // The page may have changed while the address it led to is still good; a removed file or a refused address is final.
    if (known === null || FINAL.has(error.reason)) throw error;
    return known;
  }
}

const FINAL = new Set(["gone", "cancelled", "policy_denied", "invalid_input", "subscription"]);

function knownMedia({ embedUrl, videoUrl, kind }: ServerToResolve): Resolved | null {
  const url = parseHttpUrl(videoUrl ?? "");
  if (url === null) return null;
  if (kind === "mega") {
    if (parseMegaLink(url) !== null) return null; // the link, not the file's address
    const key = parseMegaLink(embedUrl ?? "")?.key; // without it the bytes are noise
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
  if (frame === null) throw new SourceError("unsupported", "no resolver knows this page");
  return resolveDirect(frame) ?? await resolvePage(frame, { pages, pins, framesLeft: framesLeft - 1 });
}

/** The page's only frame; among several nobody can say which is the player and which an advertisement. */
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
