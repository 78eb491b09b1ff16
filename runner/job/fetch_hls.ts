/** Downloads the segments of a playlist or an MPD and muxes them into one verified MP4. */
import type { Resolved } from "../../sources/resolvers/index.ts";
import { type DownloadedRendition, downloadHls } from "../download/hls.ts";
import type { HlsPlan, planHls } from "../download/hls_plan.ts";
import { muxAlongside, type MuxedTracks, muxRenditions } from "../media/mux.ts";
import type { ListedSubtitles } from "./add_subtitles.ts";
import { finishFile, finishWritten } from "./finish_file.ts";
import {
  type FetchedSource,
  mediaRequest,
  resolveCandidate,
  type SourceJob,
  type SourceTools,
} from "./source_tools.ts";

/** Segments, muxed file and final file exist at the same time; the total is an estimate. */
const DISK_FACTOR = 3.3;

export type SegmentsJob = SourceJob & { readonly plan: typeof planHls; readonly listed: ListedSubtitles };

export async function fetchHls(resolved: Resolved, job: SegmentsJob, tools: SourceTools): Promise<FetchedSource> {
  const { dir, progress } = tools;
  const noSpace = new AbortController();
  const signal = AbortSignal.any([tools.signal, noSpace.signal]);
  const planOf = (source: Resolved, like?: HlsPlan): Promise<HlsPlan> => {
    const wish = { wanted: job.resolution, exact: job.candidate.exact, qualities: job.qualities };
    return job.plan(source.url, { ...mediaRequest(source, tools), ...wish, ...(like ? { like } : {}) });
  };
  const plan = await planOf(resolved);
  progress.enter("downloading");
  tools.onPhase();
  const reserve = reserveAsItGrows(tools, (error) => noSpace.abort(error));
  let first = true;
  let tracks: MuxedTracks | null = null;
  const muxed = `${dir.path}/muxed.mp4`;
  const muxing = { dir: dir.path, output: muxed, signal };
  const renditions = await downloadHls(plan, {
    ...mediaRequest(resolved, tools),
    signal,
    dir: `${dir.path}/segments`,
    connections: tools.hlsConnections,
    alongside: isOneStream(plan)
      ? async (segments) => {
        tracks = await muxAlongside(segments, plan.renditions[0]!.segments, muxing);
      }
      : undefined,
    resolveAgain: async () => await planOf(await resolveCandidate(job.candidate, tools), plan),
    onProgress: ({ done, total }) => {
      if (first && done > 0) tools.onResumed(done, "segments");
      first = false;
      progress.set(done, total);
      tools.reservation.wrote(done);
      reserve(total);
    },
  });
  progress.enter("finalising");
  tools.onPhase();
  const alongside = tracks as MuxedTracks | null; // assigned in a callback
  if (alongside !== null) {
    const file = await job.listed.addTo({ path: muxed, format: "mov", expected: alongside });
    const fetched = job.listed.report(await finishFile(file.path, { ...file, joins: alongside.joins }, tools));
    return withPlan(fetched, { plan, renditions, muxed: alongside });
  }
  await Deno.remove(muxed).catch(() => {}); // muxed during the download, of no use now
  const joined = { ...muxing, ...tools.archive, fileKey: tools.fileKey, output: `${dir.path}/joined.mp4` };
  const { written, ...expected } = await muxRenditions(renditions, joined);
  const { joins } = expected;
  const added = await job.listed.addTo({ path: written.file.path, format: "mov", expected });
  const fetched = added.path === written.file.path
    ? await finishWritten(written, { expected, joins }, tools)
    : await finishFile(added.path, { ...added, joins }, tools);
  return withPlan(job.listed.report(fetched), { plan, renditions, muxed: expected });
}

/** Adds which variant was archived, and what of the source was converted or left out. */
function withPlan(
  fetched: FetchedSource,
  from: { plan: HlsPlan; renditions: readonly DownloadedRendition[]; muxed: MuxedTracks },
): FetchedSource {
  const { variant, leftOut, heights } = from.plan;
  const left_out = [
    ...fetched.media.left_out,
    ...leftOut,
    ...from.renditions.flatMap((rendition) => rendition.leftOut),
    ...from.muxed.leftOut,
  ];
  return { ...fetched, heights, media: { ...fetched.media, variant, converted: from.muxed.converted, left_out } };
}

/** Whether the segments can be concatenated: one clock and one init section. */
function isOneStream({ renditions }: HlsPlan): boolean {
  const [video] = renditions;
  if (renditions.length !== 1 || video === undefined) return false;
  const parts = video.segments.map(({ map, discontinuity }) =>
    `${map?.url} ${map?.byteRange?.offset} ${discontinuity}`
  );
  return new Set(parts).size === 1;
}

/** The estimate changes with every segment: reserve in steps, and stop if the disk is full. */
function reserveAsItGrows(tools: SourceTools, onFull: (error: unknown) => void): (totalBytes: number) => void {
  let promised = 0;
  return (totalBytes) => {
    if (totalBytes * DISK_FACTOR <= promised) return;
    promised = Math.ceil(totalBytes * DISK_FACTOR * 1.2);
    tools.reservation.resize(promised).catch(onFull);
  };
}
