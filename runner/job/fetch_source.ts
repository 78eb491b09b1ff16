/**
 * From a candidate to a verified, hashed, fast-starting MP4 on disk: resolve, probe, download.
 * Example: `await fetchSource({ candidate, resolution: "720p", source }, tools)` → { final, durationSeconds }.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { planDash } from "../download/dash_plan.ts";
import { planHls } from "../download/hls_plan.ts";
import { notOffered } from "../download/quality_policy.ts";
import { type Probe, probe, probeWithRetry } from "../download/probe.ts";
import { type MediaRequest, throwRefusal } from "../network/guarded_fetch.ts";
import { startListed } from "./add_subtitles.ts";
import { fetchFile, isFile, startDownload, type StartedDownload } from "./fetch_file.ts";
import { fetchHls } from "./fetch_hls.ts";
import { fetchMega } from "./fetch_mega.ts";
import {
  type FetchedSource,
  mediaRequest,
  resolveCandidate,
  type SourceJob,
  type SourceTools,
} from "./source_tools.ts";

export async function fetchSource(job: SourceJob, tools: SourceTools): Promise<FetchedSource> {
  try {
    const resolved = await resolveCandidate(job.candidate, tools);
    const { exact } = job.candidate;
    if (resolved.kind === "mega" && exact) throw notOffered(job.resolution);
    const listed = startListed(resolved, job.candidate, tools);
    if (resolved.kind === "mega") return await fetchMega(resolved, { ...job, listed }, tools);
    await using first = exact ? null : await startDownload(resolved, job, tools);
    const { probed, begun } = await probeWhileDownloading(first, {
      url: resolved.url,
      request: mediaRequest(resolved, tools),
    });
    switch (probed.sniffed) {
      case "hls":
        return await fetchHls(resolved, { ...job, listed, plan: planHls }, tools);
      case "dash":
        return await fetchHls(resolved, { ...job, listed, plan: planDash }, tools);
      case "mp4":
      case "matroska":
      case "ts":
        if (exact) throw notOffered(job.resolution);
        return await fetchFile(resolved, { job, listed, probed, container: probed.sniffed, begun }, tools);
      case "html":
        throw new KeepstreamError("unsupported", "the URL leads to a web page, not to a video");
      case "unknown":
        throw new KeepstreamError("unsupported", "the URL does not lead to a video");
    }
  } catch (error) {
    tools.signal.throwIfAborted();
    throwRefusal(tools.session); // the proxy's reason is more precise than a broken connection
    throw error;
  }
}

/** Stops the download if the probe finds no file. If the host refuses a second connection, probes again without the download. */
async function probeWhileDownloading(
  begun: StartedDownload | null,
  { url, request }: { url: string; request: MediaRequest },
): Promise<{ probed: Probe; begun: StartedDownload | null }> {
  try {
    const probed = await probe(url, request);
    if (isFile(probed.sniffed)) return { probed, begun };
    await begun?.drop();
    return { probed, begun: null };
  } catch (error) {
    if (begun === null) throw error;
    await begun.drop();
    if (!(error instanceof KeepstreamError && error.retryable)) throw error;
    return { probed: await probeWithRetry(url, request), begun: null };
  }
}
