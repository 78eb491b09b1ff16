// Embed page → media URL. The resolver is selected by the page, not by its host.
// Example: await resolveServer({ embedUrl: "https://player.test/e/1" }, { fetch, signal, now }) → { url, kind: "hls", … }.
// Runs on: Deno, edge runtime.
import { parseHttpUrl } from "../../core/http_url.ts";
import type { UrlPolicy } from "../../core/url_policy.ts";
import type { PerHostLimiter } from "../fetch/per_host_limiter.ts";
import { sleep } from "../../core/sleep.ts";
import { MEDIA_KINDS, type MediaKind } from "../page/media_kind.ts";
import { createParseBudget, type ParseBudget } from "../page/parse_budget.ts";
import { createPageClient, type Fetch, type SiteHeaders } from "../fetch/page_client.ts";
import { directMedia, resolveDirect } from "./direct.ts";
import { INERTIA_PAGE } from "./inertia_page.ts";
import { parseMegaLink, resolveMega } from "./mega.ts";
import type { SolveMegaChallenge } from "./mega_challenge.ts";
import { JSON_API } from "./json_api.ts";
import { JWPLAYER } from "./jwplayer.ts";
import { PACKED_PLAYER } from "./packed_player.ts";
import { PAGE_METADATA } from "./page_metadata.ts";
import { resolvePage } from "./page_resolver.ts";
import { PLAYER_FILE } from "./player_file.ts";
import { PLYR } from "./plyr.ts";
import type { Resolved } from "./resolver.ts";
import type { Family } from "./shape.ts";
import { SourceError, toSourceError } from "../source_error.ts";

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
  /** For all requests of one embed page: frames, feeds, API steps and probes. @default 20,000 */
  readonly embedTimeoutMs?: number;
}

/** In this order: the first shape that finds media decides. */
export const FAMILIES: readonly Family[] = [
  INERTIA_PAGE,
  PACKED_PLAYER,
  JWPLAYER,
  PLYR,
  PLAYER_FILE,
  JSON_API,
  PAGE_METADATA,
];

export const RESOLVER_NAMES = FAMILIES.map(({ name }) => name) as readonly string[];

/** How many nested frames are followed. */
const MAX_FRAMES = 2;
const EMBED_TIMEOUT_MS = 20_000;

/**
 * Finds the media that a server plays.
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
  const mega = parseMegaLink(embedUrl);
  if (mega !== null) {
    if (!tools.megaApiUrl) throw new SourceError("unsupported", "MEGA_API_URL is not set");
    const { megaApiUrl: apiUrl, solveMegaChallenge: solve, signal } = tools;
    return await resolveMega(mega, {
      apiUrl,
      pages: createPageClient(tools),
      pause: (ms) => sleep(ms, signal),
      ...(solve && { solve: (challenge) => solve(challenge, signal) }),
    });
  }
  const signal = AbortSignal.any([tools.signal, AbortSignal.timeout(tools.embedTimeoutMs ?? EMBED_TIMEOUT_MS)]);
  return await resolvePage(embedUrl, {
    families: FAMILIES,
    pages: createPageClient({ ...tools, signal }),
    signal,
    now: tools.now,
    pins: tools.resolverOfHost ?? {},
    budget: tools.parseBudget ?? createParseBudget(),
    framesLeft: MAX_FRAMES,
  });
}

function isMediaKind(kind: string | null | undefined): kind is MediaKind {
  return (MEDIA_KINDS as readonly string[]).includes(kind ?? "");
}
