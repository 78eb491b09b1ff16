/**
 * Writes the archive's file: an ordinary MP4 with moov in front whose media data is HLS segments, one track each, and the playlists that
 * address them by byte ranges. What HLS cannot express stays an ordinary MP4, with the reason.
 * Example: `await writePresentation({ path: "muxed.mp4" }, { output: "final.mp4", fileKey, form: "auto", … })`.
 */
import type { Presentation } from "../../core/presentation.ts";
import { type FinalFile, writeFastStart } from "../mp4/fast_start.ts";
import type { OutputTrack, TextCue } from "../mp4/moov.ts";
import { writeMovie } from "../mp4/write_movie.ts";
import type { ArchivePolicy } from "./archive_policy.ts";
import { describe } from "./describe.ts";
import { layOut } from "./layout.ts";
import { NotPresentable } from "./not_presentable.ts";
import { planPresentation } from "./plan.ts";
import { readSource, type Source, sourceOfTracks } from "./source.ts";
import { readCues } from "./subtitle_texts.ts";
import { writeFile } from "./write_file.ts";

export interface WriteOptions extends ArchivePolicy {
  readonly output: string;
  readonly signal: AbortSignal;
  /** Names the file and those beside it: `{fileKey}.mp4`, `{fileKey}.v.m3u8`. */
  readonly fileKey: string;
  /** Segments are written together up to this many bytes. @default 6,000,000 */
  readonly groupBytes?: number;
}

export interface Written {
  readonly kind: "done";
  readonly file: FinalFile;
  readonly presentation: Presentation;
  /** By ending; empty for a plain file. */
  readonly texts: ReadonlyMap<string, string>;
}

/** A file that is not an MP4 whose moov can be read or moved: ffmpeg has to remux it. */
export interface NeedsRemux {
  readonly kind: "needs_remux";
  readonly reason: string;
}

/** `file.path` is the input if nothing had to be written. Does not change the input. */
export async function writePresentation(
  input: { readonly path: string },
  options: WriteOptions,
): Promise<Written | NeedsRemux> {
  const because = await writeHybrid(() => readSource(input.path), options);
  if (typeof because !== "string") return because;
  const plain = await writeFastStart(input.path, options.output, options.signal);
  return plain.kind === "done" ? writtenPlain(plain.file, because) : plain;
}

/** The same for tracks that were joined from several files. */
export async function writeJoined(tracks: readonly OutputTrack[], options: WriteOptions): Promise<Written> {
  const because = await writeHybrid(() => sourceOfTracks(tracks), options);
  return typeof because === "string" ? writtenPlain(await writeMovie(tracks, options), because) : because;
}

/** Returns why the file has to be a plain one. */
async function writeHybrid(read: () => Source | Promise<Source>, options: WriteOptions): Promise<Written | string> {
  if (options.form === "plain") return "the operator chose plain files";
  const { segmentSeconds, groupBytes, signal } = options;
  try {
    const source = await read();
    const plan = planPresentation(source.tracks, {
      segmentSeconds,
      ...(groupBytes === undefined ? {} : { groupBytes }),
    });
    const layout = layOut(source, plan);
    const cues = new Map<number, readonly TextCue[]>();
    for (const [i, { role, tables }] of plan.tracks.entries()) {
      if (role === "subtitles") cues.set(i, source.cues[i] ?? readCues(source, tables, signal));
    }
    const described = describe({ plan, layout, cues }, options.fileKey);
    return { kind: "done", file: await writeFile(source, { plan, layout }, options), ...described };
  } catch (error) {
    if (error instanceof NotPresentable) return error.message;
    throw error;
  }
}

function writtenPlain(file: FinalFile, because: string): Written {
  const presentation: Presentation = { form: "plain", plain_because: because, duration: 0, segments: 0, tracks: [] };
  return { kind: "done", file, presentation, texts: new Map() };
}
