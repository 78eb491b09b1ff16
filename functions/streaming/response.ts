// What is known of an episode → the public answer: servers per provider, archived ones leading to the archive.
// Example: { provider: "Vidhidepro 720p", url, url_resolved, resolution: "720p", stream: "https://worker.test/proxy?…" }.
// Runs on: Deno, edge runtime.
import { archivedEpisode, archiveUrl } from "../../core/archive_location.ts";
import { linkExpiry } from "../../core/link.ts";
import type { Chapter, SourceList, SourceServer, Subtitle } from "../../sources/source_list.ts";
import type { Episode, EpisodeKey, QueuedVideo, StoredVideo } from "./episode_store.ts";
import { httpOnly } from "./http_only.ts";
import type { StreamLinks } from "./stream_link.ts";

export interface PublicServer {
  readonly provider: string;
  readonly url: string;
  readonly url_resolved: string | null;
  readonly resolution: string | null;
  readonly stream: string | null;
  readonly kind: string | null;
  readonly archived: boolean;
  readonly archive: { readonly state: string; readonly progress: unknown } | null;
  readonly expires_at: string | null;
  readonly subtitles: readonly Subtitle[];
  readonly chapters?: readonly Chapter[];
  readonly code?: string;
}

export interface ProviderState {
  readonly state: string;
  readonly code?: string;
  readonly took_ms: number;
  readonly cached: boolean;
  readonly age_seconds?: number;
  readonly retry_after_seconds?: number;
}

export interface EpisodeResponse {
  readonly success: true;
  readonly mal_id: number;
  readonly episode: number;
  readonly title: string | null;
  /** Why this is not more. */
  readonly detail?: string;
  readonly data: Readonly<Record<string, readonly PublicServer[] | null>>;
  readonly providers: Readonly<Record<string, ProviderState>>;
}

export interface GatheredList {
  readonly list: SourceList;
  readonly state: ProviderState;
}

export interface EpisodeResponseInput {
  readonly key: EpisodeKey;
  readonly known: Episode;
  readonly queue: readonly QueuedVideo[];
  readonly gathered: ReadonlyMap<string, GatheredList>;
  readonly detail: string | null;
}

export interface EpisodeResponseTools {
  readonly links: StreamLinks;
  readonly hubEndpoint: string;
  /** What the addresses of copies begin with that the Worker can read. */
  readonly archiveBases: readonly string[];
  /** Whether an episode is taken down; asked only of one that another episode's answer would lead to. */
  readonly isTakenDown: (at: EpisodeKey) => Promise<boolean>;
  readonly linkTtlSeconds: number;
  /** Unix milliseconds. */
  readonly now: () => number;
}

export async function episodeResponse(
  input: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<EpisodeResponse> {
  const { key, known, gathered } = input;
  const names = new Set([...known.providers.map((one) => one.name), ...known.store.map((one) => one.provider)]);
  const data = await Promise.all(
    [...names].map(async (name) => [name, await providerServers(name, input, tools)] as const),
  );
  return {
    success: true,
    mal_id: key.malId,
    episode: key.episode,
    title: known.catalogue?.title ?? null,
    ...(input.detail !== null && { detail: input.detail }),
    data: Object.fromEntries(data),
    providers: Object.fromEntries([...gathered].map(([name, { state }]) => [name, state])),
  };
}

/** Listed servers, then archived copies that no listed server stands for: a site that is gone takes nothing away. */
async function providerServers(name: string, input: EpisodeResponseInput, tools: EpisodeResponseTools) {
  const servers = httpOnly(input.gathered.get(name)?.list.servers ?? []);
  // A copy where the Worker cannot read it is safe, but plays for nobody: the live server stays.
  const stored = input.known.store.flatMap((one) => {
    const url = one.provider === name ? archiveAddressOf(one, tools) : null;
    return url === null ? [] : [{ ...one, url }];
  });
  const listed = servers.map((server) => {
    const copy = stored.find((one) => one.resolution === server.resolution);
    const archived = copy !== undefined && !(isMissing(copy) && server.video_url !== null);
    return archived ? archivedServer(copy, server, input, tools) : liveServer(name, server, input, tools);
  });
  const orphans = stored.filter((one) => !servers.some((server) => server.resolution === one.resolution));
  const all = await Promise.all([...listed, ...orphans.map((one) => archivedServer(one, null, input, tools))]);
  return all.length === 0 ? null : all;
}

async function liveServer(
  provider: string,
  server: SourceServer,
  input: EpisodeResponseInput,
  tools: EpisodeResponseTools,
) {
  const nowSeconds = Math.floor(tools.now() / 1000);
  const goodUntil = server.expires_at === null ? Infinity : Date.parse(server.expires_at) / 1000;
  const usable = server.video_url !== null && goodUntil > nowSeconds;
  const isTakenDown = server.video_url !== null && await leadsToTakenDown(server.video_url, input, tools);
  const url = usable && !isTakenDown ? server.video_url : null;
  // The link may outlive its source: the Worker asks this API for the fresh address when the old one dies.
  const expiresAt = linkExpiry(nowSeconds, tools.linkTtlSeconds);
  const queued = input.queue.find((one) => one.provider === provider && one.resolution === server.resolution);
  return {
    provider: server.label,
    url: server.embed_url,
    url_resolved: url,
    resolution: server.resolution,
    stream: url === null ? null : await tools.links.sign({
      url,
      kind: server.kind,
      expiresAt,
      headers: server.headers,
      megaKey: server.kind === "mega" ? megaKeyOf(server.embed_url) : null,
      episode: { ...input.key, provider, server: server.embed_url },
    }),
    kind: server.kind,
    archived: false,
    archive: queued ? { state: queued.status, progress: queued.progress ?? null } : null,
    expires_at: url === null ? null : isoTime(expiresAt),
    subtitles: server.subtitles,
    ...(server.chapters && { chapters: server.chapters }),
    ...(isTakenDown ? { code: "taken_down" } : server.code && { code: server.code }),
  } satisfies PublicServer;
}

async function archivedServer(
  copy: StoredVideo & { readonly url: string },
  server: SourceServer | null,
  input: EpisodeResponseInput,
  tools: EpisodeResponseTools,
) {
  const { url } = copy;
  const isTakenDown = await leadsToTakenDown(url, input, tools);
  const expiresAt = linkExpiry(Math.floor(tools.now() / 1000), tools.linkTtlSeconds);
  const embed = server?.embed_url ?? url;
  return {
    provider: server?.label ?? ["Archive", copy.resolution].filter(Boolean).join(" "),
    url: embed,
    url_resolved: isTakenDown ? null : url,
    resolution: copy.resolution,
    stream: isTakenDown ? null : await tools.links.sign({
      url,
      kind: "mp4",
      expiresAt,
      archive: true,
      episode: { ...input.key, provider: copy.provider, server: embed },
    }),
    kind: "mp4",
    archived: true,
    archive: { state: "ready", progress: 1 },
    expires_at: isTakenDown ? null : isoTime(expiresAt),
    subtitles: server?.subtitles ?? [],
    ...(server?.chapters && { chapters: server.chapters }),
    ...(isTakenDown && { code: "taken_down" }),
  } satisfies PublicServer;
}

/** An archive of another episode, which a row, a catalogue or a site's page may name. */
async function leadsToTakenDown(
  url: string,
  { key }: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<boolean> {
  const at = archivedEpisode(new URL(url));
  if (at === null || (at.malId === key.malId && at.episode === key.episode)) return false;
  return await tools.isTakenDown(at);
}

/** All of its copies were reported missing: kept for when one is back, and no better than a server that plays now. */
function isMissing(copy: StoredVideo): boolean {
  return copy.replicas?.length === 0;
}

/** The recorded address while its copy lives, else the first copy that does; of those that the Worker can read. */
function archiveAddressOf(copy: StoredVideo, { hubEndpoint, archiveBases }: EpisodeResponseTools): string | null {
  const living = (copy.replicas ?? []).filter((one) => (one.state ?? "verified") === "verified");
  const recorded = copy.hf_direct_url ?? null;
  const recordedLives = living.length === 0 || living.some((one) => one.repo === copy.hf_repo);
  const addresses = [
    ...(recorded !== null && recordedLives ? [recorded] : []),
    ...living.map(({ direct_url, repo, path }) => direct_url ?? archiveUrl(hubEndpoint, { repo, path })),
  ];
  return addresses.find((url) => archiveBases.some((base) => url.startsWith(base))) ?? null;
}

function megaKeyOf(embedUrl: string): string | null {
  return URL.canParse(embedUrl) ? new URL(embedUrl).hash.slice(1).replace(/^.*!/, "") || null : null;
}

function isoTime(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString();
}
