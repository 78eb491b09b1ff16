/** What the downloads of all kinds of sources share, and their media requests. */
import type { MediaReport } from "../../core/media_report.ts";
import type { Presentation } from "../../core/presentation.ts";
import type { UrlPolicy } from "../../core/url_policy.ts";
import { type Resolved, resolveServer } from "../../sources/resolvers/index.ts";
import { parseMegaLink } from "../../sources/resolvers/mega.ts";
import { solveMegaChallenge } from "../download/mega_proof.ts";
import type { QualityPolicy } from "../download/quality_policy.ts";
import type { Candidate } from "../queue/job.ts";
import type { FinalFile } from "../mp4/fast_start.ts";
import type { ArchivePolicy } from "../presentation/archive_policy.ts";
import type { ProxySession } from "../network/forward_proxy.ts";
import type { Fetch, MediaRequest } from "../network/guarded_fetch.ts";
import type { Reservation } from "../work_dir/disk_budget.ts";
import type { Progress } from "./progress.ts";
import type { JobDir } from "../work_dir/work_dir.ts";

const RESOLVE_TIMEOUT_MS = 30_000;
/** Includes a proof of work, which has its own time limit. */
const MEGA_RESOLVE_TIMEOUT_MS = 300_000;
/**
 * The headers that a source may set, as in the proxy. Cookies are excluded, because the hosts of redirects and segments would
 * receive them.
 */
const HEADER_NAMES = new Set(["referer", "origin", "user-agent", "accept", "accept-language"]);
// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/;

export type SourceJob = {
  readonly candidate: Candidate;
  readonly resolution: string | null;
  /** Which heights of the source are archived. Called if the source offers several. @default label */
  readonly qualities?: () => Promise<QualityPolicy>;
  /** Identifies the candidate whose bytes are on disk. */
  readonly source: string;
};

export type SourceTools = {
  readonly dir: JobDir;
  readonly session: ProxySession;
  readonly fetch: Fetch;
  readonly policy: UrlPolicy;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  readonly reservation: Reservation;
  /** Largest file to archive. */
  readonly maxBytes: number;
  readonly hlsConnections: number;
  readonly mp4Connections: number;
  readonly megaApiUrl?: string | undefined;
  /** Names the archive's files, in its playlists. */
  readonly fileKey: string;
  readonly archive: ArchivePolicy;
  /** Another session of the proxy, for what must not end the download if it is refused. */
  readonly openAside?: () => { readonly fetch: Fetch; readonly close: () => void };
  readonly onResumed: (bytes: number, from: string) => void;
  readonly onPhase: () => void;
};

export type FetchedSource = {
  readonly final: FinalFile;
  readonly durationSeconds: number;
  /** With `presentation`. */
  readonly media: MediaReport;
  readonly presentation: Presentation;
  /** The texts beside the file by ending: playlists, WebVTT. Empty for a plain file. */
  readonly texts: ReadonlyMap<string, string>;
  /** Further heights of the source to archive, largest first. */
  readonly heights?: readonly number[];
};

/** Reads the embed page again on this machine, because a media URL may be bound to the client's IP address. */
export async function resolveCandidate(candidate: Candidate, tools: SourceTools): Promise<Resolved> {
  // Without a page, the URL itself is probed: it may be media or a page.
  const embedUrl = candidate.embedUrl ?? candidate.videoUrl;
  const limitMs = parseMegaLink(embedUrl ?? "") === null ? RESOLVE_TIMEOUT_MS : MEGA_RESOLVE_TIMEOUT_MS;
  const resolved = await resolveServer(
    { embedUrl, videoUrl: candidate.videoUrl, kind: candidate.kind },
    {
      fetch: tools.fetch,
      signal: AbortSignal.any([tools.signal, AbortSignal.timeout(limitMs)]),
      now: Date.now,
      policy: tools.policy,
      solveMegaChallenge,
      ...(tools.megaApiUrl === undefined ? {} : { megaApiUrl: tools.megaApiUrl }),
    },
  );
  return { ...resolved, headers: allowedHeaders({ ...candidate.headers, ...resolved.headers }) };
}

export function mediaRequest(resolved: Resolved, tools: SourceTools): MediaRequest {
  return { fetch: tools.fetch, policy: tools.policy, headers: resolved.headers, signal: tools.signal };
}

/** Pure. */
export function allowedHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers)
      .map(([name, value]) => [name.toLowerCase(), value] as const)
      .filter(([name, value]) => HEADER_NAMES.has(name) && value.length <= 4096 && !CONTROL.test(value)),
  );
}
