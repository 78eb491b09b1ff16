/** Small MP4s of every kind that the writer has to place right, made by ffmpeg: 160x90, a few seconds. */
export interface TitleClip {
  readonly name: string;
  /** Of ffmpeg, without the output. */
  readonly args: readonly string[];
  /** Made first; `$1` in `args` is its path. */
  readonly from?: readonly string[];
  readonly plainBecause?: RegExp;
  /** The first frame is shown from 0 instead of at this time. */
  readonly heldFirstFrame?: boolean;
  /** Frames that the HLS view has in front: priming of the encoder, silence. */
  readonly audioInFront?: number;
  /** The first audio frame is not trimmed in the HLS view. */
  readonly untrimmedAudio?: boolean;
}

const VIDEO = (seconds: number, rate = "24000/1001") => [
  ...["-f", "lavfi", "-i", `testsrc2=s=160x90:r=${rate}:d=${seconds}`],
];
const TONE = (hertz: number, seconds: number) => ["-f", "lavfi", "-i", `sine=${hertz}:d=${seconds}`];
const X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "3", "-b_strategy", "0"];
const AAC = ["-c:a", "aac", "-b:a", "64k"];
const TWO = ["-map", "0", "-map", "1"];
const GOP = ["-g", "24", "-keyint_min", "24", "-sc_threshold", "0"];

export const TITLE_CLIPS: readonly TitleClip[] = [
  {
    name: "H.264, two AAC tracks",
    args: [
      ...VIDEO(5),
      ...TONE(440, 5),
      ...TONE(880, 5),
      ...X264,
      ...GOP,
      ...AAC,
      "-map",
      "0",
      "-map",
      "1",
      "-map",
      "2",
    ],
    audioInFront: 1,
  },
  {
    name: "negative composition offsets, no edit list",
    args: [
      ...[...VIDEO(4), ...TONE(440, 4), ...X264, ...GOP, ...AAC, ...TWO],
      ...["-movflags", "negative_cts_offsets", "-use_editlist", "0"],
    ],
  },
  {
    name: "no edit list: video starts after its delay",
    args: [...VIDEO(4), ...TONE(440, 4), ...X264, ...GOP, ...AAC, ...TWO, "-use_editlist", "0"],
    heldFirstFrame: true,
  },
  {
    name: "HEVC named hev1, AC-3, E-AC-3, AAC",
    args: [
      ...[...VIDEO(3), ...TONE(440, 3), "-map", "0", "-map", "1", "-map", "1", "-map", "1"],
      ...["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "keyint=24:log-level=none", "-tag:v", "hev1"],
      ...["-c:a:0", "ac3", "-c:a:1", "eac3", "-c:a:2", "aac"],
    ],
    untrimmedAudio: true,
    audioInFront: 1,
  },
  {
    name: "Opus, FLAC, MP3",
    args: [
      ...[...VIDEO(3), ...TONE(440, 3), ...X264, ...GOP, "-map", "0", "-map", "1", "-map", "1", "-map", "1"],
      ...["-c:a:0", "libopus", "-c:a:1", "flac", "-c:a:2", "libmp3lame", "-strict", "experimental"],
    ],
    untrimmedAudio: true,
    audioInFront: 1,
  },
  { name: "audio only", args: [...TONE(440, 5), ...AAC], audioInFront: 1 },
  { name: "video only, a key frame every 7 frames", args: [...VIDEO(4), ...X264, "-g", "7"] },
  {
    name: "variable frame rate",
    args: [
      ...[...VIDEO(5, "25"), ...TONE(440, 5), "-vf", "select='not(mod(n,3))+lt(n,30)'", "-fps_mode", "vfr"],
      ...[...X264, ...GOP, ...AAC, ...TWO],
    ],
    audioInFront: 1,
  },
  { name: "video 1.3 s late", ...late("0", "1.3"), heldFirstFrame: true },
  { name: "video 10 ms late", ...late("0", "0.01"), heldFirstFrame: true },
  { name: "audio 2.1 s late", ...late("2.1", "0") },
  { name: "audio 10 ms late", ...late("0.01", "0") },
  {
    name: "open groups of pictures",
    args: [
      ...[...VIDEO(4), ...TONE(440, 4), ...X264, "-x264-params", "open-gop=1:keyint=24:min-keyint=24:scenecut=0"],
      ...[...AAC, ...TWO],
    ],
    audioInFront: 1,
  },
  {
    name: "AV1",
    args: [...VIDEO(2), "-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-g", "24"],
  },
  { name: "audio outlasts the video", args: [...VIDEO(2), ...TONE(440, 6), ...X264, ...GOP, ...AAC], audioInFront: 1 },
  { name: "video outlasts the audio", args: [...VIDEO(5), ...TONE(440, 2), ...X264, ...GOP, ...AAC], audioInFront: 1 },
  {
    name: "cut between key frames",
    from: [...VIDEO(5), ...TONE(440, 5), ...X264, ...GOP, ...AAC],
    args: ["-ss", "1.5", "-i", "$1", "-c", "copy"],
    plainBecause: /skips frames at the start/,
  },
  {
    name: "codec that HLS lacks",
    args: [...VIDEO(1), "-c:v", "mpeg4"],
    plainBecause: /no video codec mp4v/,
  },
];

function late(audio: string, video: string): Pick<TitleClip, "from" | "args" | "audioInFront"> {
  return {
    from: [...VIDEO(4), ...TONE(440, 4), ...X264, ...GOP, ...AAC],
    args: [
      ...["-itsoffset", video, "-i", "$1", "-itsoffset", audio, "-i", "$1"],
      ...["-map", "0:v", "-map", "1:a", "-c", "copy"],
    ],
    audioInFront: 1,
  };
}

export async function makeClip({ from, args }: TitleClip, path: string): Promise<void> {
  if (from !== undefined) await ffmpeg([...from, `${path}.from.mp4`]);
  await ffmpeg([...args.map((arg) => arg.replace("$1", `${path}.from.mp4`)), path]);
}

export async function ffmpeg(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", "-y", ...args],
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (code !== 0) throw new Error(`ffmpeg ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
