/**
 * From a candidate of the queue to a verified, hashed, fast-starting file on disk: resolve, look, download by the way that fits.
 * Example: `await fetchSource({ candidate, resolution: "720p", source }, tools)` → { final, durationSeconds }. Runs on: Deno.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { type Look, look, lookAgain } from "../download/look.ts";
import { type MediaRequest, throwRefusal } from "../network/guarded_fetch.ts";
import { beginFile, type BegunFile, fetchFile, isFile } from "./fetch_file.ts";
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
    if (resolved.kind === "mega") return await fetchMega(resolved, job, tools);
    await using first = await beginFile(resolved, job, tools);
    const { looked, begun } = await lookBeside(first, { url: resolved.url, request: mediaRequest(resolved, tools) });
    switch (looked.sniffed) {
      case "hls":
        return await fetchHls(resolved, job, tools);
      case "mp4":
      case "matroska":
      case "ts":
        return await fetchFile(resolved, { job, looked, container: looked.sniffed, begun }, tools);
      case "html":
        throw new KeepstreamError("unsupported", "the address leads to a web page, not to a video");
      case "unknown":
        throw new KeepstreamError("unsupported", "the address leads to something that is no video");
    }
  } catch (error) {
    tools.signal.throwIfAborted();
    throwRefusal(tools.line); // the proxy knows the reason that a broken connection only hints at
    throw error;
  }
}

/** What is no file after all is not downloaded as one; a host that refuses two connections at once is looked at again without the other. */
async function lookBeside(
  begun: BegunFile | null,
  { url, request }: { url: string; request: MediaRequest },
): Promise<{ looked: Look; begun: BegunFile | null }> {
  try {
    const looked = await look(url, request);
    if (isFile(looked.sniffed)) return { looked, begun };
    await begun?.drop();
    return { looked, begun: null };
  } catch (error) {
    if (begun === null) throw error;
    await begun.drop();
    if (!(error instanceof KeepstreamError && error.retryable)) throw error;
    return { looked: await lookAgain(url, request), begun: null };
  }
}
