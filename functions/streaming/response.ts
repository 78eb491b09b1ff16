// Builds the public response of an episode: servers by provider; archived ones link to the archive.
// Example: { provider: "Vidhidepro 720p", url, url_resolved, resolution: "720p", stream: "https://worker.test/proxy?…" }.
// Runs on: Deno, edge runtime.
import { archivedEpisode, archiveUrl } from "../../core/archive_location.ts";
import { linkExpiry } from "../../core/link.ts";
import type { SourceList, SourceServer } from "../../sources/source_list.ts";
import type { EpisodeResponse, ProviderState, PublicServer } from "./episode_schema.ts";
import type { EpisodeKey, EpisodeRecord, QueuedVideo, StoredVideo } from "./episode_store.ts";
import { httpOnly } from "./http_only.ts";
import type { StreamLinks } from "./stream_link.ts";

export interface ProviderResult {
  readonly list: SourceList;
  readonly state: ProviderState;
}

export interface EpisodeResponseInput {
  readonly key: EpisodeKey;
  readonly record: EpisodeRecord;
  readonly queue: readonly QueuedVideo[];
  readonly results: ReadonlyMap<string, ProviderResult>;
  readonly detail: string | null;
}

export interface EpisodeResponseTools {
  readonly links: StreamLinks;
  readonly hubEndpoint: string;
  /** URL prefixes of the storage targets that the Worker can read. */
  readonly archiveBases: readonly string[];
  /** Only called for other episodes than the requested one, if a URL leads to their archive. */
  readonly isTakenDown: (at: EpisodeKey) => Promise<boolean>;
  readonly linkTtlSeconds: number;
  /** Unix milliseconds. */
  readonly now: () => number;
}

export async function episodeResponse(
  input: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<EpisodeResponse> {
  const { key, record, results } = input;
  const names = new Set([...record.providers.map((one) => one.name), ...record.store.map((one) => one.provider)]);
  const data = await Promise.all(
    [...names].map(async (name) => [name, await providerServers(name, input, tools)] as const),
  );
  return {
    success: true,
    mal_id: key.malId,
    episode: key.episode,
    title: record.catalogue?.title ?? null,
    ...(input.detail !== null && { detail: input.detail }),
    data: Object.fromEntries(data),
    providers: Object.fromEntries([...results].map(([name, { state }]) => [name, state])),
  };
}

/** Listed servers, then archives without a listed server: they stay playable after the site is gone. */
async function providerServers(name: string, input: EpisodeResponseInput, tools: EpisodeResponseTools) {
  const servers = httpOnly(input.results.get(name)?.list.servers ?? []);
  // An archive that the Worker cannot read does not replace the live server.
  const stored = input.record.store.flatMap((one) => {
    const url = one.provider === name ? archiveUrlOf(one, tools) : null;
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
  const validUntil = server.expires_at === null ? Infinity : Date.parse(server.expires_at) / 1000;
  const usable = server.video_url !== null && validUntil > nowSeconds;
  const isTakenDown = server.video_url !== null && await leadsToTakenDown(server.video_url, input, tools);
  const url = usable && !isTakenDown ? server.video_url : null;
  // The link may outlive the media URL: the Worker then asks this API for a new one.
  const expiresAt = linkExpiry(nowSeconds, tools.linkTtlSeconds);
  const queued = input.queue.find((one) => one.provider === provider && one.resolution === server.resolution);
  return {
    provider: server.label,
    url: server.embed_url,
    url_resolved: url,
    resolution: server.resolution,
    width: null,
    height: null,
    media: null,
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
    width: copy.width ?? null,
    height: copy.height ?? null,
    media: copy.media ?? null,
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

/** Whether the URL is the archive of another episode that is taken down. Rows, catalogues and pages may name one. */
async function leadsToTakenDown(
  url: string,
  { key }: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<boolean> {
  const at = archivedEpisode(new URL(url));
  if (at === null || (at.malId === key.malId && at.episode === key.episode)) return false;
  return await tools.isTakenDown(at);
}

/** All replicas were reported missing. The row is kept in case one returns, but a live server is preferred. */
function isMissing(copy: StoredVideo): boolean {
  return copy.replicas?.length === 0;
}

/** The recorded URL if its replica is verified, otherwise the first verified replica; only URLs that the Worker can read. */
function archiveUrlOf(copy: StoredVideo, { hubEndpoint, archiveBases }: EpisodeResponseTools): string | null {
  const verified = (copy.replicas ?? []).filter((one) => (one.state ?? "verified") === "verified");
  const recorded = copy.hf_direct_url ?? null;
  const isRecordedVerified = verified.length === 0 || verified.some((one) => one.repo === copy.hf_repo);
  const urls = [
    ...(recorded !== null && isRecordedVerified ? [recorded] : []),
    ...verified.map(({ direct_url, repo, path }) => direct_url ?? archiveUrl(hubEndpoint, { repo, path })),
  ];
  return urls.find((url) => archiveBases.some((base) => url.startsWith(base))) ?? null;
}

function megaKeyOf(embedUrl: string): string | null {
  return URL.canParse(embedUrl) ? new URL(embedUrl).hash.slice(1).replace(/^.*!/, "") || null : null;
}

function isoTime(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString();
}
