/**
 * What becomes of each track, and which samples form a fragment. Pure.
 * Example: `planPresentation(tracks, { segmentSeconds: 6 })` → one video, two audio and one subtitle track, 240 segments.
 */
import { boxAt, childBoxes } from "../mp4/boxes.ts";
import { bordersOf, cutAtBorders, cutVideo } from "./cuts.ts";
import { formOf, type FragmentForm, silentFrame } from "./fragment.ts";
import { audioClock, type HlsClock, videoClock } from "./hls_clock.ts";
import { NotPresentable } from "./not_presentable.ts";
import { describeEntry, type SampleEntry } from "./sample_entry.ts";
import { latin1, type TrackTables } from "./track_tables.ts";

/** Endings of playlists have two digits. */
const MAX_AUDIO = 24;
const MAX_SUBTITLES = 64;
const MAX_FRAGMENTS = 400_000;
const MAX_FRAGMENT_SAMPLES = 500_000;
/**
 * ffmpeg's demuxer buffers as much as two tracks are apart, if that is less than 16 MiB: beyond, it requests each frame of a file over HTTP.
 */
const MAX_SEGMENT_BYTES = 15_000_000;
const GROUP_BYTES = 6_000_000;
const SUBTITLE_HANDLERS = ["sbtl", "text", "subt"];
/** A cover. */
const PICTURES = ["jpeg", "png ", "mjpa"];

export type PlannedTrack = TrackPlan & { readonly tables: TrackTables };
export type MediaTrack = MediaPlan & { readonly tables: TrackTables };

interface MediaPlan {
  readonly role: "video" | "audio";
  /** v, a0, a1, … */
  readonly playlist: string;
  readonly entry: SampleEntry;
  readonly clock: HlsClock;
  readonly silent: Uint8Array | null;
}

type TrackPlan =
  | MediaPlan
  | { readonly role: "subtitles"; readonly playlist: string }
  /** Only in the file: covers, chapters, time codes. */
  | { readonly role: "other" };

/** Samples of one track that follow each other in the written file. */
export interface Chunk {
  readonly track: number;
  readonly first: number;
  readonly end: number;
  readonly description: number;
  readonly payloadBytes: number;
  /** In front of the samples: moof and the header of mdat. */
  readonly headBytes: number;
  /** Of video and audio. */
  readonly fragment: { readonly form: FragmentForm; readonly sequence: number; readonly decode: number } | null;
}

export interface Plan {
  readonly tracks: readonly PlannedTrack[];
  /** In the order of the file; each group is written together. */
  readonly groups: readonly (readonly Chunk[])[];
  readonly chunks: readonly Chunk[];
  /** Seconds. */
  readonly duration: number;
}

const MDAT_HEADER_BYTES = 8;

export function isMedia(track: PlannedTrack): track is MediaTrack {
  return track.role === "video" || track.role === "audio";
}

/** @throws {NotPresentable} */
export function planPresentation(
  tables: readonly TrackTables[],
  options: { readonly segmentSeconds: number; readonly groupBytes?: number },
): Plan {
  const tracks = tables.map(rolesOf(tables));
  const media = tracks.filter(isMedia);
  const video = media.find(({ role }) => role === "video");
  if (media.length === 0) throw new NotPresentable("it has neither video nor audio");
  const target = options.segmentSeconds;
  const videoCuts = video === undefined ? [] : cutVideo(video.tables, video.clock, target);
  const videoStarts = video === undefined ? [] : startsOf(video.tables, video.clock, videoCuts);
  const longest = Math.max(...media.map(({ clock }) => clock.end));
  const borders = bordersOf(videoStarts, { video: video?.clock.end ?? 0, longest }, target);
  const perTrack = tracks.map((track, i) => {
    const starts = track === video
      ? [...videoCuts, ...Array(borders.length + 1 - videoCuts.length).fill(track.tables.count)]
      : cutAtBorders(track.tables, isMedia(track) ? track.clock : null, borders);
    return chunksOf(track, i, starts);
  });
  const groups = interleave(tracks, perTrack, options.groupBytes ?? GROUP_BYTES);
  const chunks = groups.flat();
  if (chunks.length > MAX_FRAGMENTS) throw new NotPresentable("it has too many fragments");
  return { tracks, groups, chunks, duration: longest };
}

/** Seconds at which each fragment of the video is first presented. */
function startsOf(track: TrackTables, clock: HlsClock, cuts: readonly number[]): number[] {
  const { durations, composition, timescale } = track;
  const starts: number[] = [];
  let decode = 0;
  for (let i = 0; i < track.count && starts.length < cuts.length; decode += durations[i]!, i++) {
    if (i !== cuts[starts.length]) continue;
    const ticks = decode + (composition?.[i] ?? 0) + clock.lift - clock.mediaTime + clock.hold;
    starts.push(i === 0 ? 0 : ticks / timescale);
  }
  return starts;
}

function rolesOf(all: readonly TrackTables[]) {
  const chapters = new Set(all.flatMap(({ trak }) => references(trak, "chap")));
  const counts = { video: 0, audio: 0, subtitles: 0 };
  const isVideo = (track: TrackTables) =>
    track.handler === "vide" && !PICTURES.includes(latin1(track.entries[0]!.subarray(4, 8)));
  const main = all.find(isVideo);
  return (tables: TrackTables): PlannedTrack => {
    if (tables === main) {
      if (tables.count === 0) throw new NotPresentable("the video has no samples");
      return { tables, ...videoPlan(tables) };
    }
    if (tables.handler === "soun") {
      if (tables.count === 0) throw new NotPresentable("an audio track has no samples");
      if (counts.audio === MAX_AUDIO) throw new NotPresentable(`it has more than ${MAX_AUDIO} audio tracks`);
      return { tables, ...audioPlan(tables, counts.audio++) };
    }
    const isText = SUBTITLE_HANDLERS.includes(tables.handler) && tables.count > 0 && !chapters.has(tables.id) &&
      tables.entries.every((entry) => latin1(entry.subarray(4, 8)) === "tx3g");
    if (!isText || counts.subtitles === MAX_SUBTITLES) return { tables, role: "other" };
    return { tables, role: "subtitles", playlist: `s${counts.subtitles++}` };
  };
}

function videoPlan(tables: TrackTables): TrackPlan {
  const entries = usedEntries(tables).map((entry) => describeEntry(entry, "video"));
  return { role: "video", playlist: "v", entry: entries[0]!, clock: videoClock(tables), silent: null };
}

function audioPlan(tables: TrackTables, index: number): TrackPlan {
  const used = usedEntries(tables);
  if (used.length > 1) throw new NotPresentable("an audio track has several sample entries");
  const entry = describeEntry(used[0]!, "audio");
  const silent = entry.isPlainAac ? silentFrame(entry.channels) : null;
  const clock = audioClock(tables, { mayAddSilence: silent !== null });
  return { role: "audio", playlist: `a${index}`, entry, clock, silent };
}

function usedEntries({ entries, descriptions }: TrackTables): Uint8Array[] {
  const used = descriptions === null ? new Set([1]) : new Set(descriptions);
  return entries.filter((_, i) => used.has(i + 1));
}

/** Ids of tracks that a track refers to. */
function references(trak: Uint8Array, type: string): number[] {
  const [root] = childBoxes(trak, { start: 0, end: trak.length }) ?? [];
  const found = root === undefined ? null : boxAt(trak, root, ["tref", type]);
  if (found === null) return [];
  const view = new DataView(trak.buffer, trak.byteOffset + found.body, found.end - found.body);
  return Array.from({ length: Math.min(80, view.byteLength >> 2) }, (_, i) => view.getUint32(4 * i));
}

/** By segment: the chunks of one track. */
function chunksOf(track: PlannedTrack, index: number, starts: readonly number[]): Chunk[][] {
  const { tables } = track;
  const segments: Chunk[][] = [];
  let [ticks, counted, sequence] = [0, 0, 0];
  for (let segment = 0; segment + 1 < starts.length; segment++) {
    const [first, end] = [starts[segment]!, starts[segment + 1]!];
    if (first === end) segments.push([]);
    else if (isMedia(track)) {
      if (end - first > MAX_FRAGMENT_SAMPLES) throw new NotPresentable("a segment has too many samples");
      const { clock, silent } = track;
      for (; counted < first; counted++) ticks += tables.durations[counted]!;
      const form = formOf(tables, clock, { first, end }, silent);
      const decode = first === 0 ? 0 : ticks + clock.hold + clock.silence * 1024;
      const { payloadBytes, headBytes, description } = form;
      const fragment = { form, sequence: ++sequence, decode };
      segments.push([{ track: index, first, end, description, payloadBytes, headBytes, fragment }]);
    } else segments.push(plainChunks(tables, index, { first, end }));
  }
  return segments;
}

/** Of a track without fragments: one chunk for each run of samples with the same entry. */
function plainChunks(tables: TrackTables, track: number, { first, end }: { first: number; end: number }): Chunk[] {
  const chunks: Chunk[] = [];
  for (let from = first; from < end;) {
    const description = tables.descriptions?.[from] ?? 1;
    let [to, payloadBytes] = [from, 0];
    while (to < end && (tables.descriptions?.[to] ?? 1) === description) payloadBytes += tables.sizes[to++]!;
    if (chunks.length === MAX_FRAGMENTS) throw new NotPresentable("it has too many fragments");
    const common = { track, first: from, end: to, description, payloadBytes };
    chunks.push({ ...common, headBytes: MDAT_HEADER_BYTES, fragment: null });
    from = to;
  }
  return chunks;
}

const ORDER = ["other", "subtitles", "audio", "video"];

/** A few segments together, and in them one track after another, audio before video: readers of the file make fewer requests. */
function interleave(tracks: readonly PlannedTrack[], perTrack: readonly Chunk[][][], groupBytes: number): Chunk[][] {
  const order = [...tracks.keys()].sort((a, b) =>
    ORDER.indexOf(tracks[a]!.role) - ORDER.indexOf(tracks[b]!.role) || a - b
  );
  const segments = Math.max(...perTrack.map((own) => own.length));
  const groups: Chunk[][] = [];
  let [from, bytes] = [0, 0];
  const close = (to: number) => {
    if (to > from) groups.push(order.flatMap((track) => perTrack[track]!.slice(from, to).flat()));
    [from, bytes] = [to, 0];
  };
  for (let segment = 0; segment < segments; segment++) {
    const own = bytesOf(perTrack, segment);
    if (own > MAX_SEGMENT_BYTES) {
      throw new NotPresentable(`${Math.round(own / 1e6)} MB lie between two places where it can be cut`);
    }
    if (bytes + own > groupBytes) close(segment);
    bytes += own;
  }
  close(segments);
  return groups;
}

function bytesOf(perTrack: readonly Chunk[][][], segment: number): number {
  let bytes = 0;
  for (const track of perTrack) {
    for (const { headBytes, payloadBytes } of track[segment] ?? []) bytes += headBytes + payloadBytes;
  }
  return bytes;
}
