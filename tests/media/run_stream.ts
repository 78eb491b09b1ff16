/** Archives a stream and compares the archive with the source. */
import { startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { validate } from "../title/validator.ts";
import { decode, type Decoded, type Frame, tonesOf, tracksOf } from "./decode.ts";
import type { Archived, TestStream } from "./stream.ts";

export interface StreamResult {
  readonly name: string;
  /** "wrong": archived with other content; "rejected": refused although it is valid; "accepted": archived although it is not. */
  readonly verdict: "right" | "wrong" | "rejected" | "accepted";
  readonly expected: "kept" | "converted" | "refused";
  /** What happened, for the table. */
  readonly detail: string;
}

/** Encoders differ by less at a frame's start. */
const FRAME_SECONDS = 0.005;
/** Where video ends between two audio frames, a join drops one. */
const AUDIO_FRAMES_PER_JOIN = 2;
/** Cues without a clock of their own count from the video's first frame or from 0, which may differ by some frames. */
const CUE_SECONDS = 0.1;
const AUDIO_FRAME_SECONDS = 0.0225;

/** From the stream's own host, or through a proxy's URL for its playlist. */
export async function runStream(
  stream: TestStream,
  through?: { readonly url: string; readonly origin: string },
): Promise<StreamResult> {
  const { expected } = stream;
  const one = { name: stream.name, expected: expectationOf(expected) };
  await using fixture = await startFetchFixture(stream.host);
  const options = stream.resolution === undefined ? {} : { resolution: stream.resolution };
  const fetched = await fixture.fetch(through?.url ?? stream.entry ?? "/v.m3u8", {
    ...options,
    ...(through === undefined ? {} : { origins: [through.origin] }),
    kind: stream.entry === undefined ? "hls" : "mp4",
  }).catch((error) => error as Error & { code?: string });
  if (fetched instanceof Error) {
    const text = `${fetched.code}: ${fetched.message}`;
    if (expected.outcome === "archived") return { ...one, verdict: "rejected", detail: text };
    const named = fetched.code === expected.code && expected.message.test(fetched.message);
    return { ...one, verdict: named ? "right" : "wrong", detail: text };
  }
  if (expected.outcome === "refused") return { ...one, verdict: "accepted", detail: "archived" };
  const { final, texts } = fetched;
  const [invalid] = await validate({ path: final.path, texts, fileKey: "archive" });
  const problem = invalid === undefined ? await compare(final.path, expected) : `the archive is invalid: ${invalid}`;
  return { ...one, verdict: problem === null ? "right" : "wrong", detail: problem ?? expected.note ?? "kept" };
}

export function expectationOf(expected: TestStream["expected"]): StreamResult["expected"] {
  if (expected.outcome === "refused") return "refused";
  return expected.note === undefined ? "kept" : "converted";
}

/** The first difference, or null. */
export async function compare(path: string, expected: Archived): Promise<string | null> {
  const archive = await decode({ path });
  if (archive.errors !== "") return `the archive does not decode: ${archive.errors.split("\n")[0]}`;
  const sources = await Promise.all(expected.parts.map(decode));
  const separate = await Promise.all((expected.audioParts ?? expected.parts).map(decode));
  const tracks = await tracksOf(path);
  const checks = [
    () => compareVideo(archive.video, sources.map(({ video }) => video)),
    () => expected.audio === "none" ? silent(archive) : null,
    () => expected.audio === undefined ? compareAudio(archive.audio, separate.map(({ audio }) => audio)) : null,
    () => expected.audioParts === undefined ? compareOffset(archive, sources[0]!) : null,
    () => compareLanguages(tracks, expected),
    () => expected.tag === undefined || tracks[0]?.split(" ")[2] === expected.tag ? null : `sample entry: ${tracks[0]}`,
  ];
  for (const check of checks) {
    const problem = check();
    if (problem !== null) return problem;
  }
  if (Array.isArray(expected.audio)) {
    const tones = await tonesOf(path);
    const wanted: readonly number[] = expected.audio;
    const wrong = tones.find((tone, i) => Math.abs(tone - wanted[i]!) > 25);
    if (wrong !== undefined) return `tones ${tones}`;
  }
  return expected.cues === undefined ? null : await compareCues(path, expected.cues);
}

function compareVideo(archive: readonly Frame[], sources: readonly (readonly Frame[])[]): string | null {
  const wanted = sources.flat();
  if (archive.length !== wanted.length) return `${archive.length} of ${wanted.length} frames`;
  const other = archive.findIndex((frame, i) => frame.md5 !== wanted[i]!.md5);
  if (other !== -1) return `frame ${other} differs`;
  let at = 0;
  for (const source of sources) {
    for (const [i, frame] of source.entries()) {
      const shift = archive[at]!.seconds - source[0]!.seconds;
      const difference = archive[at + i]!.seconds - frame.seconds - shift;
      if (Math.abs(difference) > FRAME_SECONDS) return `frame ${at + i} is ${difference.toFixed(3)} s late`;
    }
    at += source.length;
  }
  return null;
}

/** Packets may be missing next to a join, nowhere else. */
function compareAudio(archive: readonly Frame[], sources: readonly (readonly Frame[])[]): string | null {
  const wanted = sources.flat();
  const allowed = AUDIO_FRAMES_PER_JOIN * (sources.length - 1);
  if (archive.length > wanted.length) return `${archive.length} of ${wanted.length} audio packets`;
  const there = new Map<string, number>();
  for (const { md5 } of archive) there.set(md5, (there.get(md5) ?? 0) + 1);
  let missing = 0;
  for (const { md5 } of wanted) {
    const left = there.get(md5) ?? 0;
    if (left === 0) missing++;
    else there.set(md5, left - 1);
  }
  return missing > allowed ? `${missing} of ${wanted.length} audio packets are missing` : null;
}

/** The distance of the first audio frame to the first video frame, within one audio frame. */
function compareOffset(archive: Decoded, source: Decoded): string | null {
  const distance = ({ audio, video }: Decoded) =>
    audio.length === 0 || video.length === 0 ? null : audio[0]!.seconds - video[0]!.seconds;
  const [here, there] = [distance(archive), distance(source)];
  if (here === null || there === null) return null;
  return Math.abs(here - there) <= AUDIO_FRAME_SECONDS ? null : `audio is ${(here - there).toFixed(3)} s late`;
}

function silent({ audio }: Decoded): string | null {
  return audio.length === 0 ? null : `${audio.length} audio packets instead of none`;
}

function compareLanguages(tracks: readonly string[], { languages }: Archived): string | null {
  if (languages === undefined) return null;
  const found = tracks.filter((track) => track.startsWith("audio ")).map((track) => track.split(" ")[3]!);
  return found.join() === languages.join() ? null : `audio in ${found.join() || "no language"}`;
}

async function compareCues(path: string, cues: NonNullable<Archived["cues"]>): Promise<string | null> {
  const { stdout } = await new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", "-i", path, "-map", "0:s:0", "-f", "webvtt", "-"],
    stdout: "piped",
    stderr: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  const found = [...text.matchAll(/^(?:(\d+):)?(\d+):([\d.]+) --> .*\n(.*)$/gm)].map(([, h, m, s, line]) =>
    [Number(h ?? 0) * 3600 + Number(m) * 60 + Number(s), line!] as const
  );
  const same = found.length === cues.length &&
    found.every(([at, line], i) => Math.abs(at - cues[i]![0]) < CUE_SECONDS && line === cues[i]![1]);
  return same ? null : `cues ${JSON.stringify(found)}`;
}
