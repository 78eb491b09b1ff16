/**
 * One episode as two streams, for tests of players: live HLS of segment files, and an archive of two qualities as HLS by byte ranges.
 * Both have two audio languages and subtitles. Example: `const { live, archive } = await makeEpisodeStreams(8)`; archive.get("….m3u8")
 */
import { runFfmpeg } from "./made_stream.ts";

/** File keys of the archive: the larger quality, and the smaller one without audio. */
export const [LARGE_KEY, SMALL_KEY] = ["a".repeat(32), "b".repeat(32)];
const SIZES = ["320x180", "160x90"] as const;
const LANGUAGES = [["ja", "Japanese"], ["en", "English"]] as const;
const CODECS = 'CODECS="avc1.42C00D,mp4a.40.2"';
const HLS = [
  "-f",
  "hls",
  "-hls_time",
  "1",
  "-hls_playlist_type",
  "vod",
  "-hls_segment_type",
  "fmp4",
  "-hls_flags",
  "single_file",
];

export interface EpisodeStreams {
  /** By name; `master.m3u8` is the multivariant playlist, `v0-3.mp4` the third segment of the larger quality. */
  readonly live: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** The files of both qualities, by name. */
  readonly archive: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

export async function makeEpisodeStreams(seconds: number): Promise<EpisodeStreams> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-episode-" });
  try {
    const video = [
      "-c:v",
      "libx264",
      "-preset",
      "ultrafast",
      "-profile:v",
      "baseline",
      "-g",
      "25",
      "-pix_fmt",
      "yuv420p",
    ];
    const tracks = [
      ...SIZES.map((size, i) => ({ name: `v${i}`, codec: video, source: `testsrc2=s=${size}:r=25:d=${seconds}` })),
      ...LANGUAGES.map((_, i) => ({
        name: `a${i}`,
        codec: ["-c:a", "aac", "-b:a", "64k"],
        source: `sine=frequency=${440 * (i + 1)}:duration=${seconds}`,
      })),
    ];
    await runFfmpeg([
      ...tracks.flatMap(({ source }) => ["-f", "lavfi", "-i", source]),
      ...tracks.flatMap(({ name, codec }, index) => [
        ...["-map", `${index}`, ...codec, ...HLS, "-hls_segment_filename", `${dir}/${name}.mp4`, `${dir}/${name}.m3u8`],
      ]),
    ]);
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    for await (const { name } of Deno.readDir(dir)) files.set(name, await Deno.readFile(`${dir}/${name}`));
    return { live: liveOf(files, seconds), archive: archiveOf(files, seconds) };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

type Files = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = (files: Files, name: string) => new TextDecoder().decode(files.get(name)!);

/** Each byte range as a file of its own: `v0-0.mp4` is the init section. */
function liveOf(files: Files, seconds: number): Files {
  const live = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const track of ["v0", "v1", "a0", "a1"]) {
    const all = files.get(`${track}.mp4`)!;
    let count = 0;
    const cut = (length: string, at: string) => {
      const name = `${track}-${count++}.mp4`;
      live.set(name, all.slice(Number(at), Number(at) + Number(length)));
      return name;
    };
    const text = textOf(files, `${track}.m3u8`)
      .replace(/URI="[^"]*",BYTERANGE="(\d+)@(\d+)"/, (_, length, at) => `URI="${cut(length, at)}"`)
      .replace(/#EXT-X-BYTERANGE:(\d+)@(\d+)\n.*/g, (_, length, at) => cut(length, at));
    live.set(`${track}.m3u8`, bytes(text));
  }
  const variants = SIZES.map((size, index) => ({ size, uri: `v${index}.m3u8` }));
  live.set("master.m3u8", bytes(multivariant((ending) => ending, variants)));
  for (const [name, content] of subtitlesOf((ending) => ending, seconds)) live.set(name, content);
  return live;
}

/** The bytes of the tracks one after the other: not an MP4 that plays by itself, but its byte ranges do. */
function archiveOf(files: Files, seconds: number): Files {
  const archive = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [index, key] of [LARGE_KEY, SMALL_KEY].entries()) {
    const name = (ending: string) => `${key}.${ending}`;
    const tracks = index === 0 ? [["v", "v0"], ["a0", "a0"], ["a1", "a1"]] as const : [["v", "v1"]] as const;
    let size = 0;
    for (const [playlist, track] of tracks) {
      archive.set(name(`${playlist}.m3u8`), bytes(byRange(textOf(files, `${track}.m3u8`), name("mp4"), size)));
      size += files.get(`${track}.mp4`)!.length;
    }
    archive.set(name("mp4"), new Uint8Array(tracks.flatMap(([, track]) => [...files.get(`${track}.mp4`)!])));
    const variants = [{ size: SIZES[index]!, uri: name("v.m3u8") }];
    archive.set(name("m3u8"), bytes(multivariant(name, variants)));
    for (const [file, content] of index === 0 ? subtitlesOf(name, seconds) : []) archive.set(file, content);
  }
  return archive;
}

/** ffmpeg's playlist of a single file, with its ranges moved to where the track is in the archive. */
function byRange(text: string, file: string, start: number): string {
  return text.replace(
    /BYTERANGE([:="]+)(\d+)@(\d+)/g,
    (_, sign, length, at) => `BYTERANGE${sign}${length}@${Number(at) + start}`,
  )
    .replace(/URI="[^"]*"/, `URI="${file}"`)
    .replace(/^[^#\n].*$/gm, file);
}

function multivariant(
  name: (ending: string) => string,
  variants: readonly { readonly size: string; readonly uri: string }[],
): string {
  const audio = LANGUAGES.map(([language, label], index) =>
    `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aud",NAME="${label}",LANGUAGE="${language}",DEFAULT=${
      index === 0 ? "YES" : "NO"
    },AUTOSELECT=YES,URI="${name(`a${index}.m3u8`)}"`
  );
  const subtitles =
    `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="sub",NAME="English",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,URI="${
      name("s0.m3u8")
    }"`;
  const streams = variants.flatMap(({ size, uri }) => [
    `#EXT-X-STREAM-INF:BANDWIDTH=${
      size === SIZES[0] ? 900_000 : 300_000
    },${CODECS},RESOLUTION=${size},AUDIO="aud",SUBTITLES="sub"`,
    uri,
  ]);
  return ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS", ...audio, subtitles, ...streams, ""].join("\n");
}

function subtitlesOf(name: (ending: string) => string, seconds: number): [string, Uint8Array<ArrayBuffer>][] {
  const cues = Array.from({ length: seconds }, (_, i) => `00:00:0${i}.000 --> 00:00:0${i}.900\nsecond ${i}\n`);
  return [
    [
      name("s0.m3u8"),
      bytes(
        `#EXTM3U\n#EXT-X-TARGETDURATION:${seconds}\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:${seconds}.0,\n${
          name("s0.vtt")
        }\n#EXT-X-ENDLIST\n`,
      ),
    ],
    [name("s0.vtt"), bytes(`WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n${cues.join("\n")}`)],
  ];
}
