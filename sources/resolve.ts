// Embed page → playable address: the resolver is chosen by what the page is, not by its host.
// Example: await resolveServer({ embedUrl: "https://player.test/e/1" }, { fetch, signal, now }) → { url, kind: "hls", … }.
// Runs on: Deno, edge runtime.
import type { TargetPolicy } from "../core/target_policy.ts";
import type { HostGate } from "./host_gate.ts";
import { MEDIA_KINDS, type MediaKind, mediaKindOfType } from "./media_kind.ts";
import { createPageClient, type Fetch, type PageClient } from "./page_client.ts";
import { directMedia, resolveDirect } from "./resolvers/direct.ts";
import { resolvePlayerFile } from "./resolvers/player_file.ts";
import type { PageResolver, Resolved } from "./resolvers/resolver.ts";
import { SourceError, toSourceError } from "./source_error.ts";

export type { Resolved } from "./resolvers/resolver.ts";

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
  readonly policy?: TargetPolicy;
  readonly hosts?: HostGate;
  readonly userAgent?: string;
  /** Address of the MEGA API. */
  readonly megaApiUrl?: string;
}

const PAGE_RESOLVERS: readonly PageResolver[] = [resolvePlayerFile];

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

function knownMedia({ videoUrl, kind }: ServerToResolve): Resolved | null {
  if (videoUrl === null || videoUrl === undefined) return null;
  return isMediaKind(kind) ? directMedia(videoUrl, kind) : resolveDirect(videoUrl);
}

async function resolveEmbed(embedUrl: string, tools: ResolveTools): Promise<Resolved> {
  const direct = resolveDirect(embedUrl);
  if (direct !== null) return direct;
  const pages = createPageClient(tools);
  return await resolvePage(embedUrl, pages);
}

async function resolvePage(url: string, pages: PageClient): Promise<Resolved> {
  const page = await pages.read(url, { skipBody: (headers) => kindOf(headers) !== null });
  const kind = kindOf(page.headers);
  if (kind !== null) return directMedia(page.url, kind);
  for (const resolver of PAGE_RESOLVERS) {
    const resolved = await resolver({ url: page.url, html: page.text }, pages);
    if (resolved !== null) return resolved;
  }
  throw new SourceError("unsupported", "no resolver knows this page");
}

function kindOf(headers: Headers): MediaKind | null {
  return mediaKindOfType(headers.get("content-type"));
}

function isMediaKind(kind: string | null | undefined): kind is MediaKind {
  return (MEDIA_KINDS as readonly string[]).includes(kind ?? "");
}
