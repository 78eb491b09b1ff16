/**
 * Archives the subtitles that a provider lists beside the video: fetched during its download, added to its file as text tracks. Best-effort
 * step: a failure is an entry of `left_out`. Example: `const listed = startListed(resolved, candidate, tools)`;
 * `const file = await listed.addTo({ path, format: "mov", expected })`.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { Omission } from "../../core/media_report.ts";
import { redactText } from "../../core/redact.ts";
import type { Subtitle } from "../../sources/source_list.ts";
import type { Resolved } from "../../sources/resolvers/index.ts";
import { fetchListed } from "../download/listed_subtitles.ts";
import { mp4Language } from "../media/language.ts";
import { type ListedTrack, readListedTracks, webVttUntil } from "../media/listed_tracks.ts";
import { remuxFile } from "../media/mux.ts";
import { chooseTracks } from "../media/track_choice.ts";
import { printable } from "../media/track_names.ts";
import { type Expectation, type ProbeFormat, probeMedia } from "../media/verify.ts";
import type { Candidate } from "../queue/job.ts";
import { allowedHeaders, type FetchedSource, type SourceTools } from "./source_tools.ts";

/** In the job's directory: the heights of a source share them. */
export const LISTED_TRACKS_FILE = "listed.json";

export type DownloadedFile = {
  readonly path: string;
  readonly format: ProbeFormat;
  readonly expected: Expectation;
};

export type ListedSubtitles = {
  readonly count: number;
  /** The same file, or a copy of it with text tracks. */
  readonly addTo: (file: DownloadedFile) => Promise<DownloadedFile>;
  /** Adds what was left out to the report. */
  readonly report: (fetched: FetchedSource) => FetchedSource;
};

type Read = { readonly tracks: readonly ListedTrack[]; readonly leftOut: readonly Omission[] };

export function startListed(resolved: Resolved, candidate: Candidate, tools: SourceTools): ListedSubtitles {
  const listed = [...resolved.subtitles, ...candidate.subtitles ?? []];
  const reading = listed.length === 0
    ? Promise.resolve<Read>({ tracks: [], leftOut: [] })
    : readOnce(listed, { ...candidate.headers, ...resolved.headers }, tools);
  reading.catch(() => {}); // awaited by addTo
  const leftOut: Omission[] = [];
  return {
    count: listed.length,
    async addTo(file) {
      try {
        const read = await reading;
        leftOut.splice(0, Infinity, ...read.leftOut);
        if (read.tracks.length === 0) return file;
        return await addTracks(file, read.tracks, { tools, leftOut });
      } catch (error) {
        tools.signal.throwIfAborted();
        if (error instanceof KeepstreamError && error.code === "disk_full") throw error;
        const detail = redactText(`listed subtitles: ${error instanceof Error ? error.message : error}`);
        leftOut.push({ kind: "subtitles", code: "not_added", detail });
        return file;
      }
    },
    report: (fetched) => {
      const left_out = [...fetched.media.left_out, ...leftOut];
      return leftOut.length === 0 ? fetched : { ...fetched, media: { ...fetched.media, left_out } };
    },
  };
}

/** Also for the next height of the source, unless something may succeed then. */
async function readOnce(
  listed: readonly Subtitle[],
  headers: Readonly<Record<string, string>>,
  tools: SourceTools,
): Promise<Read> {
  const path = `${tools.dir.path}/${LISTED_TRACKS_FILE}`;
  const kept = await Deno.readTextFile(path).then((text) => JSON.parse(text) as Read, () => null).catch(() => null);
  if (kept !== null) return kept;
  // A session of its own: a refusal of the proxy must not end the download of the video.
  const { fetch, close } = tools.openAside?.() ?? { fetch: tools.fetch, close: () => {} };
  try {
    const request = { fetch, policy: tools.policy, headers: allowedHeaders(headers), signal: tools.signal };
    const { files, leftOut } = await fetchListed(listed, request);
    const read = await readListedTracks(files, tools.signal);
    if (leftOut.length === 0) await Deno.writeTextFile(path, JSON.stringify(read));
    return { tracks: read.tracks, leftOut: [...leftOut, ...read.leftOut] };
  } finally {
    close();
  }
}

async function addTracks(
  file: DownloadedFile,
  listed: readonly ListedTrack[],
  { tools, leftOut }: { tools: SourceTools; leftOut: Omission[] },
): Promise<DownloadedFile> {
  const { dir, signal } = tools;
  const probed = await probeMedia(file.path, { format: file.format, signal });
  const chosen = chooseTracks(probed.tracks);
  const subtitles = [];
  for (const [i, { cues, language, label }] of listed.entries()) {
    const text = webVttUntil(cues, probed.durationSeconds);
    const name = printable(label ?? language);
    if (text === null) {
      leftOut.push({ kind: "subtitles", code: "outside", detail: `${name}: every cue is after the end of the video` });
      continue;
    }
    const path = `${dir.path}/listed${i}.vtt`;
    await Deno.writeTextFile(path, text);
    subtitles.push({ path, language: mp4Language(language), name });
  }
  if (subtitles.length === 0) return file;
  const output = `${dir.path}/listed.mp4`;
  await remuxFile(file.path, { ...chosen, subtitles, dir: dir.path, output, signal, format: file.format });
  for (const { path } of subtitles) await Deno.remove(path);
  leftOut.push(...chosen.leftOut);
  const expected = {
    videoTracks: file.expected.videoTracks,
    audioTracks: chosen.audio.length,
    subtitleTracks: chosen.textSubtitles.length + subtitles.length,
  };
  return { path: output, format: "mov", expected };
}
