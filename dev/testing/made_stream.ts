/**
 * Streams made by ffmpeg for tests of the download and the archive. Each is encoded once per process.
 * Example: `const half = await makeSegments({ name: "a", seconds: 8, size: "320x180" })` → { segments: [Uint8Array, …], init, durations }.
 */

export interface MadeStream {
  readonly segments: readonly Uint8Array<ArrayBuffer>[];
  /** Of fragmented MP4. */
  readonly init: Uint8Array<ArrayBuffer> | null;
  /** As ffmpeg announces them. */
  readonly durations: readonly number[];
}

export interface StreamRecipe {
  readonly seconds: number;
  /** Absent: no video. @default "320x180" */
  readonly size?: string | null;
  readonly rate?: number;
  /** Hertz of the tone; null: no audio. @default 440 */
  readonly tone?: number | null;
  readonly sampleRate?: number;
  readonly channels?: number;
  readonly container?: "ts" | "fmp4";
  readonly segmentSeconds?: number;
  readonly videoCodec?: readonly string[];
  readonly audioCodec?: readonly string[];
  /** Further arguments for the output, such as ["-output_ts_offset", "10"]. */
  readonly output?: readonly string[];
  /** Filters of the video. */
  readonly filter?: string;
  /** Seconds of audio if they differ from `seconds`. */
  readonly audioSeconds?: number;
}

const made = new Map<string, Promise<MadeStream>>();

export function makeStream(recipe: StreamRecipe): Promise<MadeStream> {
  const key = JSON.stringify(recipe);
  let stream = made.get(key);
  if (stream === undefined) made.set(key, stream = encode(recipe));
  return stream;
}

async function encode(recipe: StreamRecipe): Promise<MadeStream> {
  const { seconds, size = "320x180", rate = 24, tone = 440, segmentSeconds = 2, container = "ts" } = recipe;
  const dir = await Deno.makeTempDir({ prefix: "keepstream-stream-" });
  const audioSeconds = recipe.audioSeconds ?? seconds;
  const sine = `sine=frequency=${tone}:sample_rate=${recipe.sampleRate ?? 48000}`;
  const fmp4 = ["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4"];
  await runFfmpeg([
    ...(size === null ? [] : ["-f", "lavfi", "-t", `${seconds}`, "-i", `testsrc2=size=${size}:rate=${rate}`]),
    ...(tone === null ? [] : ["-f", "lavfi", "-t", `${audioSeconds}`, "-i", sine]),
    ...(size === null ? [] : [
      ...(recipe.filter === undefined ? [] : ["-vf", recipe.filter, "-fps_mode", "vfr"]),
      ...(recipe.videoCodec ?? ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"]),
      ...["-pix_fmt", "yuv420p", "-g", `${rate * segmentSeconds}`, "-keyint_min", `${rate * segmentSeconds}`],
      ...["-sc_threshold", "0", "-force_key_frames", `expr:gte(t,n_forced*${segmentSeconds})`],
    ]),
    ...(tone === null
      ? []
      : [...(recipe.audioCodec ?? ["-c:a", "aac", "-b:a", "64k"]), "-ac", `${recipe.channels ?? 1}`]),
    ...["-strict", "experimental", "-f", "hls", "-hls_time", `${segmentSeconds}`, "-hls_playlist_type", "vod"],
    ...(container === "fmp4" ? fmp4 : []),
    ...(recipe.output ?? []),
    ...["-hls_segment_filename", `${dir}/s%d.${container === "ts" ? "ts" : "m4s"}`, `${dir}/v.m3u8`],
  ]);
  const text = await Deno.readTextFile(`${dir}/v.m3u8`);
  const names = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const stream = {
    segments: await Promise.all(names.map((name) => Deno.readFile(`${dir}/${name}`))),
    init: container === "fmp4" ? await Deno.readFile(`${dir}/init.mp4`) : null,
    durations: [...text.matchAll(/#EXTINF:([\d.]+)/g)].map((match) => Number(match[1])),
  };
  await Deno.remove(dir, { recursive: true });
  return stream;
}

export async function runFfmpeg(args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", "-y", ...args],
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`ffmpeg: ${new TextDecoder().decode(stderr)}`);
}

/** What a decoder makes of a file. */
export interface Decoded {
  /** Presentation time and MD5 of each decoded frame. */
  readonly frames: readonly { readonly seconds: number; readonly md5: string }[];
  readonly audioSeconds: number;
  /** Hertz, measured by zero crossings, in the middle of each tenth of the file. */
  readonly tones: readonly number[];
  readonly errors: string;
}

export async function decodeFile(path: string): Promise<Decoded> {
  const video = await read(["-i", path, "-map", "0:v?", "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
  const frames = video.text.split("\n").flatMap((line) => {
    if (line === "" || line.startsWith("#")) return [];
    const [, , pts, , , md5] = line.split(",").map((field) => field.trim());
    return [{ seconds: Number(pts) * timebaseOf(video.text), md5: md5! }];
  });
  const audio = await read(["-i", path, "-map", "0:a:0?", "-af", "aresample=48000", "-ac", "1", "-f", "s16le", "-"]);
  const samples = new Int16Array(audio.bytes.buffer, 0, audio.bytes.length >> 1);
  return {
    frames,
    audioSeconds: samples.length / 48_000,
    tones: Array.from({ length: 10 }, (_, i) => toneAt(samples, Math.floor((i + 0.5) * samples.length / 10))),
    errors: video.errors + audio.errors,
  };
}

function timebaseOf(text: string): number {
  const [, over, under] = /#tb 0: (\d+)\/(\d+)/.exec(text) ?? ["", "0", "1"];
  return Number(over) / Number(under);
}

function toneAt(samples: Int16Array, at: number): number {
  const part = samples.subarray(Math.max(0, at - 4_800), at + 4_800);
  let crossings = 0;
  for (let i = 1; i < part.length; i++) if (part[i - 1]! < 0 && part[i]! >= 0) crossings++;
  return part.length === 0 ? 0 : Math.round(crossings * 48_000 / part.length);
}

async function read(
  args: readonly string[],
): Promise<{ text: string; bytes: Uint8Array<ArrayBuffer>; errors: string }> {
  const { stdout, stderr } = await new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", ...args],
    stdout: "piped",
    stderr: "piped",
  }).output();
  const bytes = new Uint8Array(stdout);
  return { text: new TextDecoder().decode(bytes), bytes, errors: new TextDecoder().decode(stderr) };
}
