/**
 * Decodes a file or a stream with ffmpeg, frame by frame, to compare an archive with its source. Audio is compared by its packets: decoders
 * replace noise by noise, which depends on what they decoded before.
 * Example: `await decode({ path })` → { video: [{ seconds: 0, md5: "…" }, …], audio: […], errors: "" }.
 */

export interface Frame {
  readonly seconds: number;
  readonly md5: string;
}

export interface Decoded {
  readonly video: readonly Frame[];
  /** Packets of the first audio track. */
  readonly audio: readonly Frame[];
  readonly errors: string;
}

export type DecodeInput =
  | { readonly path: string }
  /** Read from stdin: a file name would let ffmpeg look for others. */
  | { readonly bytes: Uint8Array<ArrayBuffer>; readonly format: string };

export async function decode(input: DecodeInput): Promise<Decoded> {
  if (!("path" in input) && input.format !== "mpegts") return await decodeBytes(input.bytes, input.format);
  // Without the time base of the input, times would be rounded to frames.
  const video = await run(input, ["-map", "0:v:0?", "-map", "0:a?", "-autoscale", "0", "-enc_time_base", "-1"]);
  const raw = "path" in input && !input.path.endsWith(".aac") ? [] : ["-bsf:a", "aac_adtstoasc"];
  const audio = await run(input, ["-map", "0:a:0?", "-c", "copy", ...raw]);
  const plain = audio.errors === "" ? audio : await run(input, ["-map", "0:a:0?", "-c", "copy"]); // it is not AAC
  return { video: video.of("video"), audio: plain.of("audio"), errors: video.errors };
}

/** From a file: the index may be at the end. */
async function decodeBytes(bytes: Uint8Array, format: string): Promise<Decoded> {
  const path = await Deno.makeTempFile({ prefix: "keepstream-media-", suffix: `.${FILE_ENDING[format] ?? format}` });
  await Deno.writeFile(path, bytes);
  try {
    return await decode({ path });
  } finally {
    await Deno.remove(path);
  }
}

const FILE_ENDING: Readonly<Record<string, string>> = { mov: "mp4", matroska: "mkv" };

async function run(input: DecodeInput, output: readonly string[]) {
  const source = "path" in input ? ["-i", input.path] : ["-f", input.format, "-i", "pipe:0"];
  const child = new Deno.Command("ffmpeg", {
    args: ["-v", "error", "-copyts", ...source, ...output, "-fps_mode", "passthrough", "-f", "framemd5", "-"],
    stdin: "path" in input ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const feeding = "path" in input ? null : feed(child.stdin, input.bytes);
  const { stdout, stderr } = await child.output();
  await feeding;
  return { of: parseFrames(new TextDecoder().decode(stdout)), errors: new TextDecoder().decode(stderr).trim() };
}

async function feed(stdin: WritableStream<Uint8Array>, bytes: Uint8Array): Promise<void> {
  const writer = stdin.getWriter();
  await writer.write(bytes).catch(() => {}); // ffmpeg may have read enough
  await writer.close().catch(() => {});
}

/** Lines such as `0, 512, 1024, 512, 86400, 8f5c…`, after headers such as `#tb 0: 1/12800` and `#media_type 0: video`. */
function parseFrames(text: string): (kind: string) => Frame[] {
  const timebases = new Map<string, number>();
  const kinds = new Map<string, string>();
  const frames: { kind: string; frame: Frame }[] = [];
  for (const line of text.split("\n")) {
    const timebase = /^#tb (\d+): (\d+)\/(\d+)/.exec(line);
    const kind = /^#media_type (\d+): (\w+)/.exec(line);
    if (timebase !== null) timebases.set(timebase[1]!, Number(timebase[2]) / Number(timebase[3]));
    if (kind !== null) kinds.set(kind[1]!, kind[2]!);
    if (line === "" || line.startsWith("#")) continue;
    const [stream = "", , pts, , , md5 = ""] = line.split(",").map((field) => field.trim());
    frames.push({ kind: kinds.get(stream)!, frame: { seconds: Number(pts) * timebases.get(stream)!, md5 } });
  }
  return (kind) => frames.filter((one) => one.kind === kind).map(({ frame }) => frame);
}

/** Tracks of a file: "video h264 hvc1 und", … */
export async function tracksOf(path: string): Promise<string[]> {
  const { stdout } = await new Deno.Command("ffprobe", {
    args: [
      ...["-v", "error", "-show_entries", "stream=codec_type,codec_name,codec_tag_string:stream_tags=language"],
      ...["-of", "json", path],
    ],
    stdout: "piped",
  }).output();
  const { streams } = JSON.parse(new TextDecoder().decode(stdout)) as {
    streams: { codec_type: string; codec_name: string; codec_tag_string: string; tags?: { language?: string } }[];
  };
  return streams.map((s) => `${s.codec_type} ${s.codec_name} ${s.codec_tag_string} ${s.tags?.language ?? "und"}`);
}

/** Hertz at the middle of each tenth of the first audio track, by zero crossings. */
export async function tonesOf(path: string): Promise<number[]> {
  const { stdout } = await new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", "-i", path, "-map", "0:a:0", "-ar", "48000", "-ac", "1", "-f", "s16le", "-"],
    stdout: "piped",
  }).output();
  const samples = new Int16Array(new Uint8Array(stdout).buffer, 0, stdout.length >> 1);
  return Array.from({ length: 10 }, (_, tenth) => {
    const at = Math.floor((tenth + 0.5) * samples.length / 10);
    const part = samples.subarray(Math.max(0, at - 4_800), at + 4_800);
    let crossings = 0;
    for (let i = 1; i < part.length; i++) if (part[i - 1]! < 0 && part[i]! >= 0) crossings++;
    return Math.round(crossings * 48_000 / part.length);
  });
}
