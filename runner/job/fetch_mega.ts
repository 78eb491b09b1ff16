/** Downloads and decrypts a mega file, then verifies it like any other. */
import { KeepstreamError } from "../../core/errors.ts";
import type { Resolved } from "../../sources/resolvers/index.ts";
import { probe } from "../download/probe.ts";
import { downloadMega } from "../download/mega.ts";
import { sniff } from "../download/sniff.ts";
import type { ProbeFormat } from "../media/verify.ts";
import type { ListedSubtitles } from "./add_subtitles.ts";
import { finishFile } from "./finish_file.ts";
import {
  type FetchedSource,
  mediaRequest,
  resolveCandidate,
  type SourceJob,
  type SourceTools,
} from "./source_tools.ts";

const DISK_FACTOR = 2.2;

export async function fetchMega(
  resolved: Resolved,
  job: SourceJob & { readonly listed: ListedSubtitles },
  tools: SourceTools,
): Promise<FetchedSource> {
  const { dir, progress, signal } = tools;
  const { megaKey: key } = resolved;
  if (key === undefined) throw new KeepstreamError("invalid_input", "the mega link has no key");
  // If the MEGA API is unavailable, the last known URL is tried, and the host provides the size.
  const sizeBytes = resolved.sizeBytes ?? (await probe(resolved.url, mediaRequest(resolved, tools))).sizeBytes;
  if (sizeBytes === null) throw new KeepstreamError("network", "the host does not send the file's size");
  if (sizeBytes > tools.maxBytes) throw new KeepstreamError("too_large", `the file has ${sizeBytes} bytes`);
  await tools.reservation.resize(sizeBytes * DISK_FACTOR);
  progress.enter("downloading", sizeBytes);
  tools.onPhase();
  const path = `${dir.path}/mega.bin`;
  let first = true;
  await downloadMega({ url: resolved.url, sizeBytes }, {
    ...mediaRequest(resolved, tools),
    path,
    key,
    connections: tools.mp4Connections,
    resolveAgain: async () => {
      const again = await resolveCandidate(job.candidate, tools);
      return { url: again.url, sizeBytes: again.sizeBytes ?? 0 };
    },
    onProgress: (done) => {
      if (first && done > 0) tools.onResumed(done, "mega");
      first = false;
      progress.set(done, sizeBytes);
      tools.reservation.wrote(done);
    },
  });
  const expected = { videoTracks: null, audioTracks: null, subtitleTracks: null };
  const file = await job.listed.addTo({ path, format: await formatOf(path, signal), expected });
  return job.listed.report(await finishFile(file.path, file, tools));
}

async function formatOf(path: string, signal: AbortSignal): Promise<ProbeFormat> {
  signal.throwIfAborted();
  using file = await Deno.open(path);
  const start = new Uint8Array(1024);
  const read = await file.read(start) ?? 0;
  const formats: Partial<Record<ReturnType<typeof sniff>, ProbeFormat>> = {
    mp4: "mov",
    matroska: "matroska",
    ts: "mpegts",
  };
  const format = formats[sniff(start.subarray(0, read))];
  if (format === undefined) throw new KeepstreamError("unsupported", "the decrypted file is not a video");
  return format;
}
