// What the public response of an episode is built from, and with. Runs on: Deno, edge runtime.
import { archivedEpisode } from "../../core/archive_location.ts";
import type { SourceList } from "../../sources/source_list.ts";
import type { ProviderState } from "./episode_schema.ts";
import type { EpisodeKey, EpisodeRecord, QueuedVideo, StoredVideo } from "./episode_store.ts";
import type { StreamLinks } from "./stream_link.ts";

/** Without what the archive adds. */
export type ReadState = Omit<ProviderState, "master">;

export interface ProviderResult {
  readonly list: SourceList;
  readonly state: ReadState;
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

/** An archive that the Worker can read, with the URL of one of its copies. */
export type ArchivedCopy = StoredVideo & { readonly url: string };

/** Whether the URL is the archive of another episode that is taken down. Rows, catalogues and pages may name one. */
export async function leadsToTakenDown(
  url: string,
  { key }: EpisodeResponseInput,
  tools: EpisodeResponseTools,
): Promise<boolean> {
  const at = archivedEpisode(new URL(url));
  if (at === null || (at.malId === key.malId && at.episode === key.episode)) return false;
  return await tools.isTakenDown(at);
}

export function isoTime(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toISOString();
}
