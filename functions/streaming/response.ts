// Builds the public response of an episode: servers by provider; archived ones link to the archive.
// Example: { provider: "Vidhidepro 720p", url, url_resolved, resolution: "720p", stream: "https://worker.test/proxy?…" }.
// Runs on: Deno, edge runtime.
import { archiveUrl } from "../../core/archive_location.ts";
import { archivedServer } from "./archived_server.ts";
import type { SourceServer } from "../../sources/source_list.ts";
import type { EpisodeResponse, PublicServer } from "./episode_schema.ts";
import type { StoredVideo } from "./episode_store.ts";
import { httpOnly } from "./http_only.ts";
import { liveServer } from "./live_server.ts";
import { providerMaster } from "./provider_master.ts";
import type { ArchivedCopy, EpisodeResponseInput, EpisodeResponseTools, ReadState } from "./response_input.ts";

/** Of a provider that is no longer configured, whose archives stay playable. */
const NOT_READ: ReadState = { state: "unknown", code: "not_read", took_ms: 0, cached: false };

export async function episodeResponse(
  input: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<EpisodeResponse> {
  const { key, record, results } = input;
  const names = new Set([...record.providers.map((one) => one.name), ...record.store.map((one) => one.provider)]);
  const found = await Promise.all([...names].map((name) => providerEntry(name, input, tools)));
  return {
    success: true,
    mal_id: key.malId,
    episode: key.episode,
    title: record.catalogue?.title ?? null,
    ...(input.detail !== null && { detail: input.detail }),
    data: Object.fromEntries(found.map(({ name, servers }) => [name, servers])),
    providers: Object.fromEntries(found.flatMap(({ name, master }) => {
      const state = results.get(name)?.state ?? (master === null ? null : NOT_READ);
      return state === null ? [] : [[name, { ...state, master }]];
    })),
  };
}

interface ProviderEntry {
  readonly name: string;
  readonly servers: PublicServer[] | null;
  readonly master: string | null;
}

/** Listed servers, then archives without a listed server: they stay playable after the site is gone. */
async function providerEntry(
  name: string,
  input: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<ProviderEntry> {
  const listed = httpOnly(input.results.get(name)?.list.servers ?? []);
  // An archive that the Worker cannot read does not replace the live server.
  const stored = input.record.store.flatMap((one): ArchivedCopy[] => {
    const url = one.provider === name ? archiveUrlOf(one, tools) : null;
    return url === null ? [] : [{ ...one, url }];
  });
  const servers = listed.map((server) => {
    const copy = stored.find((one) => one.resolution === server.resolution);
    const archived = copy !== undefined && !(isMissing(copy) && server.video_url !== null);
    return archived ? archivedServer(copy, server, input, tools) : liveServer(name, server, input, tools);
  });
  const orphans = stored.filter((one) => !listed.some((server) => server.resolution === one.resolution));
  const others = orphans.toSorted((a, b) => heightOf(b) - heightOf(a)).map((one) =>
    archivedServer(one, serverOfHeight(one, listed), input, tools)
  );
  const all = await Promise.all([...servers, ...others]);
  const master = await providerMaster(stored.filter((one) => !isMissing(one)), input, tools);
  return { name, servers: all.length === 0 ? null : all, master };
}

/** 0: not a further height of a listed server. */
function heightOf({ height_of, resolution }: StoredVideo): number {
  return height_of ? Number.parseInt(resolution ?? "0") || 0 : 0;
}

/** The listed server of whose source the archive is a further height, with the height in its label. */
function serverOfHeight({ height_of, resolution }: StoredVideo, servers: readonly SourceServer[]): SourceServer | null {
  const main = height_of ? servers.find((server) => server.resolution === height_of.resolution) : undefined;
  if (main === undefined || resolution === null) return null;
  const label = main.resolution !== null && main.label.includes(main.resolution)
    ? main.label.replace(main.resolution, resolution)
    : `${main.label} ${resolution}`;
  return { ...main, label };
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
