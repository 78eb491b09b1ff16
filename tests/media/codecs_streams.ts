/** Codecs and containers: segments and single files. */
import { makeStream, runFfmpeg, type StreamRecipe } from "../../dev/testing/made_stream.ts";
import { type Host, ranged } from "../../dev/testing/fetch_fixture.ts";
import { masterOf } from "./timelines_streams.ts";
import { hostOf, listOf, sourceOf, type StreamCase } from "./stream.ts";

const HEVC = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=2"];
const VP9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"];
const AV1 = ["-c:v", "libsvtav1", "-preset", "12"];
const VP8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"];
const H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"];

type Container = "ts" | "fmp4";

const SEGMENTED: readonly [
  name: string,
  containers: readonly Container[],
  recipe: Partial<StreamRecipe>,
  tag: string,
][] = [
  ["HEVC and AAC", ["ts", "fmp4"], { videoCodec: HEVC }, "hvc1"],
  ["VP9 and Opus", ["fmp4"], { videoCodec: VP9, audioCodec: ["-c:a", "libopus"] }, "vp09"],
  ["AV1 and Opus", ["fmp4"], { videoCodec: AV1, audioCodec: ["-c:a", "libopus"] }, "av01"],
  ["H.264 and FLAC", ["fmp4"], { audioCodec: ["-c:a", "flac"] }, "avc1"],
  ["H.264 and MP3", ["ts", "fmp4"], { audioCodec: ["-c:a", "libmp3lame"] }, "avc1"],
  ["H.264 and AC-3", ["ts", "fmp4"], { audioCodec: ["-c:a", "ac3"] }, "avc1"],
  ["H.264 and E-AC-3", ["ts", "fmp4"], { audioCodec: ["-c:a", "eac3"] }, "avc1"],
  ["H.264 and AAC 5.1", ["ts", "fmp4"], { channels: 6, audioCodec: ["-c:a", "aac"] }, "avc1"],
];

/** Browsers of this suite lack HEVC, AC-3 and E-AC-3. */
const WITHOUT_BROWSER = /HEVC|AC-3/;

export function codecStreams(): StreamCase[] {
  const segmented = SEGMENTED.flatMap(([title, containers, recipe, tag]) =>
    containers.map((container): StreamCase => {
      const name = `${container}: ${title}`;
      const make = async () => {
        const made = [await makeStream({ seconds: 6, container, ...recipe })];
        return {
          name,
          host: hostOf({ v: made }, { "/v.m3u8": listOf(made, "v") }),
          expected: { outcome: "archived" as const, parts: made.map(sourceOf), tag },
          ...(WITHOUT_BROWSER.test(title) ? { browser: false as const } : {}),
        };
      };
      return { name, gate: title.startsWith("HEVC") && container === "fmp4", make };
    })
  );
  return [...segmented, ...rawAudio(), ...files()];
}

const RAW = [["AAC", "aac", "adts"], ["MP3", "libmp3lame", "mp3"], ["AC-3", "ac3", "ac3"]] as const;

/** Audio renditions without a container. */
function rawAudio(): StreamCase[] {
  return RAW.flatMap(([title, codec, format]) =>
    [true, false].map((stamped): StreamCase => {
      const name = `raw ${title} ${stamped ? "with" : "without"} timestamps`;
      const make = async () => {
        const video = [await makeStream({ seconds: 8, tone: null })];
        const audio = await rawSegments(codec, format, stamped);
        const list = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", ...audio.flatMap((_, i) => ["#EXTINF:2,", `/raw/${i}`])];
        const host = hostOf({ v: video }, {
          "/v.m3u8": masterOf([["ja", "/a.m3u8"]]),
          "/video.m3u8": listOf(video, "v"),
          "/a.m3u8": [...list, "#EXT-X-ENDLIST"].join("\n"),
        });
        const bytes = concat(audio.map((segment) => stamped ? segment.slice(ID3_BYTES) : segment));
        return {
          name,
          host: ((path, request) =>
            path.startsWith("/raw/")
              ? new Response(audio[Number(path.slice(5))]!)
              : host(path, request)) satisfies Host,
          expected: {
            outcome: "archived" as const,
            parts: video.map(sourceOf),
            audioParts: [{ bytes, format: format === "adts" ? "aac" : format }],
            languages: ["jpn"],
          },
          ...(WITHOUT_BROWSER.test(title) ? { browser: false as const } : {}),
        };
      };
      return { name, gate: false, make };
    })
  );
}

const OWNER = "com.apple.streaming.transportStreamTimestamp\0";
const ID3_BYTES = 10 + 10 + OWNER.length + 8;

/** Four segments of about 2 s, cut between frames. */
async function rawSegments(codec: string, format: string, stamped: boolean): Promise<Uint8Array<ArrayBuffer>[]> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-raw-" });
  const xing = format === "mp3" ? ["-write_xing", "0", "-id3v2_version", "0"] : [];
  await runFfmpeg([
    ...["-f", "lavfi", "-t", "8", "-i", "sine=frequency=440:sample_rate=48000", "-map", "0:a", "-c:a", codec],
    ...["-f", "segment", "-segment_time", "2", "-segment_format", format],
    ...(xing.length === 0 ? [] : ["-segment_format_options", "write_xing=0:id3v2_version=0"]),
    `${dir}/s%d`,
  ]);
  const names = [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
  const frame = { adts: 1024, mp3: 1152, ac3: 1536 }[format]! / 48_000;
  let at = 1.4; // where ffmpeg's MPEG-TS video starts
  const segments: Uint8Array<ArrayBuffer>[] = [];
  for (const name of names) {
    const bytes = await Deno.readFile(`${dir}/${name}`);
    segments.push(stamped ? concat([id3(at), bytes]) : bytes);
    at += Math.round(2 / frame) * frame;
  }
  await Deno.remove(dir, { recursive: true });
  return segments;
}

function id3(seconds: number): Uint8Array<ArrayBuffer> {
  const tag = new Uint8Array(ID3_BYTES);
  tag.set([0x49, 0x44, 0x33, 4, 0, 0, 0, 0, 0, ID3_BYTES - 10, 0x50, 0x52, 0x49, 0x56, 0, 0, 0, OWNER.length + 8]);
  tag.set(new TextEncoder().encode(OWNER), 20);
  new DataView(tag.buffer).setBigUint64(20 + OWNER.length, BigInt(Math.round(seconds * 90_000)));
  return tag;
}

function concat(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

interface FileCase {
  readonly name: string;
  readonly ending: string;
  readonly video: readonly string[] | null;
  readonly audio: readonly string[] | null;
  readonly output?: readonly string[];
  readonly tag?: string;
  readonly refused?: RegExp;
  readonly gate?: boolean;
}

const AAC = ["-c:a", "aac"];
const OPUS = ["-c:a", "libopus"];

const FILES: readonly FileCase[] = [
  { name: "MP4, index at the end", ending: "mp4", video: H264, audio: AAC, tag: "avc1" },
  {
    name: "MP4, index in front",
    ending: "mp4",
    video: H264,
    audio: AAC,
    output: ["-movflags", "+faststart"],
    tag: "avc1",
  },
  {
    name: "fragmented MP4",
    ending: "mp4",
    video: H264,
    audio: AAC,
    output: ["-movflags", "frag_keyframe+empty_moov"],
    tag: "avc1",
  },
  {
    name: "MP4, HEVC as hev1",
    ending: "mp4",
    video: HEVC,
    audio: AAC,
    output: ["-tag:v", "hev1"],
    tag: "hvc1",
    gate: true,
  },
  {
    name: "MP4, HEVC as hev1, index in front",
    ending: "mp4",
    video: HEVC,
    audio: AAC,
    output: ["-tag:v", "hev1", "-movflags", "+faststart"],
    tag: "hvc1",
  },
  { name: "Matroska, H.264 and AAC", ending: "mkv", video: H264, audio: AAC, tag: "avc1" },
  { name: "Matroska, HEVC and FLAC", ending: "mkv", video: HEVC, audio: ["-c:a", "flac"], tag: "hvc1" },
  { name: "Matroska, H.264 and MP3", ending: "mkv", video: H264, audio: ["-c:a", "libmp3lame"], tag: "avc1" },
  { name: "WebM, VP9 and Opus", ending: "webm", video: VP9, audio: OPUS, tag: "vp09" },
  { name: "WebM, AV1 and Opus", ending: "webm", video: AV1, audio: OPUS, tag: "av01" },
  {
    name: "WebM, VP8 and Vorbis",
    ending: "webm",
    video: VP8,
    audio: ["-c:a", "libvorbis"],
    refused: /video codec vp8/,
    gate: true,
  },
  {
    name: "WebM, VP9 and Vorbis",
    ending: "webm",
    video: VP9,
    audio: ["-c:a", "libvorbis"],
    refused: /audio codec vorbis/,
  },
  {
    name: "Matroska, H.264 and DTS",
    ending: "mkv",
    video: H264,
    audio: ["-c:a", "dca", "-strict", "-2", "-ac", "2"],
    refused: /audio codec dts/,
  },
  { name: "MPEG-TS file", ending: "ts", video: H264, audio: AAC, tag: "avc1" },
  { name: "MP4, audio alone", ending: "mp4", video: null, audio: AAC },
  { name: "Matroska, video alone", ending: "mkv", video: H264, audio: null, tag: "avc1" },
];

function files(): StreamCase[] {
  return FILES.map((one): StreamCase => {
    const name = `file: ${one.name}`;
    const make = async () => {
      const bytes = await encodeFile(one);
      const format = { mp4: "mov", mkv: "matroska", webm: "matroska", ts: "mpegts" }[one.ending]!;
      const { refused, tag, ending } = one;
      return {
        name,
        entry: `/v.${ending}`,
        host: ((_, request) => ranged(request, bytes)) satisfies Host,
        expected: refused === undefined
          ? { outcome: "archived" as const, parts: [{ bytes, format }], ...(tag === undefined ? {} : { tag }) }
          : { outcome: "refused" as const, code: "unsupported", message: refused },
        ...(/HEVC|DTS/.test(name) ? { browser: false as const } : {}),
      };
    };
    return { name, gate: one.gate === true, make };
  });
}

async function encodeFile({ ending, video, audio, output }: FileCase): Promise<Uint8Array<ArrayBuffer>> {
  const path = await Deno.makeTempFile({ prefix: "keepstream-file-", suffix: `.${ending}` });
  await runFfmpeg([
    ...(video === null ? [] : ["-f", "lavfi", "-t", "6", "-i", "testsrc2=size=320x180:rate=24"]),
    ...(audio === null ? [] : ["-f", "lavfi", "-t", "6", "-i", "sine=frequency=440:sample_rate=48000"]),
    ...(video === null ? [] : [...video, "-pix_fmt", "yuv420p", "-g", "48"]),
    ...[...(audio ?? []), ...(output ?? []), path],
  ]);
  const bytes = await Deno.readFile(path);
  await Deno.remove(path);
  return bytes;
}
