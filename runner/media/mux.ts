/**
 * Muxes downloaded tracks into one MP4 without re-encoding. ffmpeg only opens files and playlists that this process wrote, or reads
 * stdin: never a name from outside. Needs ffmpeg on PATH.
 */
import { Buffer } from "node:buffer";
import { KeepstreamError } from "../../core/errors.ts";
import type { DownloadedRendition, PlacedSegment } from "../download/hls.ts";
import { tsStartSeconds } from "../download/ts_span.ts";
import { runChildOrThrow } from "../process/child.ts";
import { mp4Language } from "./language.ts";
import { probeMedia } from "./verify.ts";
import { joinWebVtt } from "./web_vtt.ts";

const QUIET = ["-nostdin", "-v", "error", "-nostats", "-y"];
const READ_BYTES = 1 << 18;

export type MuxOptions = { readonly dir: string; readonly output: string; readonly signal: AbortSignal };

/** The expected tracks of the output; ffmpeg's exit code is not trusted. */
export type MuxedTracks = { readonly audioTracks: number; readonly subtitleTracks: number };

/**
 * Muxes a rendition during its download. null: its format has to be on disk first (`muxHls`); nothing was consumed.
 * fast_start.ts moves moov, which is written last.
 */
export async function muxAlongside(
  segments: AsyncIterable<PlacedSegment>,
  options: MuxOptions,
): Promise<MuxedTracks | null> {
  const iterator = segments[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done || (first.value.container !== "ts" && first.value.container !== "fmp4")) return null;
  const { container, map } = first.value;
  const format = container === "ts" ? "mpegts" : "mov";
  const audioTracks = await countAudio(first.value, options.signal);
  await runChildOrThrow("ffmpeg", [
    ...["-v", "error", "-nostats", "-y", "-f", format, "-protocol_whitelist", "pipe", "-i", "pipe:0"],
    ...["-map", "0:v:0", "-map", "0:a?", "-c", "copy"],
    ...["-f", "mp4", "-protocol_whitelist", "file", `file:${options.output}`],
  ], {
    signal: options.signal,
    feed: async (write) => {
      const buffer = new Uint8Array(READ_BYTES);
      const copy = async (path: string) => {
        using file = await Deno.open(path);
        for (let read = await file.read(buffer); read !== null; read = await file.read(buffer)) {
          if (!await write(buffer.subarray(0, read))) return false;
        }
        return true;
      };
      if (map !== null && !await copy(map)) return;
      const init = map === null ? null : await Deno.readFile(map);
      for (let next: IteratorResult<PlacedSegment> = first; !next.done; next = await iterator.next()) {
        if (next.value.container !== container) throw new KeepstreamError("unsupported", "segments of two formats");
        if (next.value.map !== map && !await holds(next.value.map, init)) {
          throw new KeepstreamError("source_expired", "the init section changed during the download");
        }
        if (!await copy(next.value.path)) return;
      }
    },
  });
  return { audioTracks, subtitleTracks: 0 };
}

async function holds(path: string | null, bytes: Uint8Array | null): Promise<boolean> {
  return path !== null && bytes !== null && Buffer.compare(await Deno.readFile(path), bytes) === 0;
}

/** Muxes renditions on disk. */
export async function muxHls(renditions: readonly DownloadedRendition[], options: MuxOptions): Promise<MuxedTracks> {
  const [video, ...others] = renditions;
  if (video === undefined) throw new KeepstreamError("unsupported", "nothing to mux");
  const first = { path: video.files[0]!, container: video.container, map: video.maps[0] ?? null };
  const ownAudio = await countAudio(first, options.signal);
  const subtitles = others.filter((rendition) => rendition.role === "subtitles" && rendition.container === "vtt");
  const tracks = [video, ...others.filter((rendition) => rendition.role === "audio")];
  const master = await writePlaylists(tracks, options.dir);
  const vttFiles = await writeSubtitles(subtitles, { video, dir: options.dir });
  await runChildOrThrow("ffmpeg", [
    ...QUIET,
    ...[
      "-f",
      "hls",
      "-protocol_whitelist",
      "file,crypto",
      "-allowed_extensions",
      "m3u8,ts,m4s,aac",
      "-i",
      `file:${master}`,
    ],
    ...vttFiles.flatMap((file) => ["-f", "webvtt", "-protocol_whitelist", "file", "-i", `file:${file}`]),
    ...["-map", "0:v:0", "-map", "0:a?"],
    ...subtitles.flatMap((_, i) => ["-map", `${i + 1}:s:0`]),
    ...["-c:v", "copy", "-c:a", "copy", "-c:s", "mov_text"],
    ...tracks.slice(1).flatMap((track, i) => describe(`a:${i + ownAudio}`, track)),
    ...subtitles.flatMap((track, i) => describe(`s:${i}`, track)),
    ...["-f", "mp4", "-protocol_whitelist", "file", `file:${options.output}`],
  ], { signal: options.signal });
  return { audioTracks: ownAudio + tracks.length - 1, subtitleTracks: subtitles.length };
}

/** Remuxes a file of another container (Matroska, MPEG-TS, fragmented MP4). */
export async function remuxFile(
  input: string,
  options: MuxOptions & { format: "mov" | "matroska" | "mpegts"; textSubtitles: readonly number[] },
): Promise<void> {
  await runChildOrThrow("ffmpeg", [
    ...QUIET,
    ...["-f", options.format, "-protocol_whitelist", "file", "-i", `file:${input}`],
    ...["-map", "0:v:0", "-map", "0:a?"],
    ...options.textSubtitles.flatMap((index) => ["-map", `0:${index}`]),
    ...["-c:v", "copy", "-c:a", "copy", "-c:s", "mov_text"],
    ...["-f", "mp4", "-protocol_whitelist", "file", `file:${options.output}`],
  ], { signal: options.signal });
}

/** The variant's own segments may contain audio; ffmpeg lists the renditions after it. */
async function countAudio({ path, container, map }: PlacedSegment, signal: AbortSignal): Promise<number> {
  const ts = container === "ts";
  if (!ts && map === null) throw new KeepstreamError("unsupported", "fragmented MP4 without an init section");
  const probe = await probeMedia(ts ? path : map!, { format: ts ? "mpegts" : "mov", signal });
  return probe.tracks.filter((track) => track.type === "audio").length;
}

function describe(stream: string, track: DownloadedRendition): string[] {
  const language = mp4Language(track.language);
  const name = printable(track.name);
  return [
    ...(language === null ? [] : [`-metadata:s:${stream}`, `language=${language}`]),
    ...(name === "" ? [] : [`-metadata:s:${stream}`, `handler_name=${name}`]),
    ...[`-disposition:s:${stream}`.replace(":s:", ":"), track.isDefault ? "default" : "0"],
  ];
}

/** A track label is the only foreign text on a command line; it follows `handler_name=` and is stripped of control characters. */
function printable(name: string | null): string {
  // deno-lint-ignore no-control-regex
  return (name ?? "").replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ").trim().slice(0, 60);
}

async function writePlaylists(tracks: readonly DownloadedRendition[], dir: string): Promise<string> {
  const lines = ["#EXTM3U"];
  for (const [i, track] of tracks.entries()) {
    const path = `${dir}/track${i}.m3u8`;
    await Deno.writeTextFile(path, localPlaylist(track));
    if (i > 0) lines.push(`#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="${i}",DEFAULT=NO,URI="track${i}.m3u8"`);
  }
  lines.push(`#EXT-X-STREAM-INF:BANDWIDTH=1000000${tracks.length > 1 ? ',AUDIO="a"' : ""}`, "track0.m3u8", "");
  const master = `${dir}/tracks.m3u8`;
  await Deno.writeTextFile(master, lines.join("\n"));
  return master;
}

/** Our own file names, decrypted content: no KEY, no BYTERANGE; MAP and DISCONTINUITY are kept. Pure. */
function localPlaylist(track: DownloadedRendition): string {
  const longest = Math.ceil(Math.max(...track.segments.map((segment) => segment.durationSeconds), 1));
  const lines = ["#EXTM3U", "#EXT-X-VERSION:7", `#EXT-X-TARGETDURATION:${longest}`, "#EXT-X-PLAYLIST-TYPE:VOD"];
  let map: string | null = null;
  let discontinuity = track.segments[0]?.discontinuity ?? 0;
  for (const [i, segment] of track.segments.entries()) {
    if (segment.discontinuity !== discontinuity) lines.push("#EXT-X-DISCONTINUITY");
    discontinuity = segment.discontinuity;
    const own = track.maps[i] ?? null;
    if (own !== null && own !== map) lines.push(`#EXT-X-MAP:URI="${localName(own)}"`);
    map = own;
    lines.push(`#EXTINF:${segment.durationSeconds},`, localName(track.files[i]!));
  }
  return [...lines, "#EXT-X-ENDLIST", ""].join("\n");
}

/** Relative to the playlist's directory. */
function localName(path: string): string {
  return path.split("/").slice(-2).join("/");
}

async function writeSubtitles(
  subtitles: readonly DownloadedRendition[],
  options: { video: DownloadedRendition; dir: string },
): Promise<string[]> {
  if (subtitles.length === 0) return [];
  const start = options.video.container === "ts" ? tsStartSeconds(await Deno.readFile(options.video.files[0]!)) : null;
  return await Promise.all(subtitles.map(async (rendition, i) => {
    const segments = await Promise.all(rendition.files.map(async (path) => ({ text: await Deno.readTextFile(path) })));
    const path = `${options.dir}/subtitles${i}.vtt`;
    await Deno.writeTextFile(path, joinWebVtt(segments, start));
    return path;
  }));
}
