/**
 * A short clip in every form that the fault tests serve: MPEG-TS and fMP4 segments, plain MP4, a separate audio track. Made once, with
 * ffmpeg. Example: `const clip = await readClip()`; `clip.ts[0]` is the first segment.
 */
const VERSION = 2;
export const CLIP_SECONDS = 12;
export const CLIP_SEGMENT_SECONDS = 2;
/** Never removed: another process may be reading it. */
const DIR = new URL(`../../../.keepstream/test-clip-${VERSION}`, import.meta.url).pathname;

export type Bytes = Uint8Array<ArrayBuffer>;

export type Clip = {
  /** 6 segments of 2 s, video and audio. */
  readonly ts: readonly Bytes[];
  readonly init: Bytes;
  readonly m4s: readonly Bytes[];
  /** Video only, as MPEG-TS. */
  readonly videoTs: readonly Bytes[];
  readonly audioTs: readonly Bytes[];
  /** moov at the end. */
  readonly mp4: Bytes;
  /** Another clip of exactly the same length in bytes. */
  readonly otherMp4: Bytes;
  readonly dir: string;
};

export async function readClip(): Promise<Clip> {
  if (!await Deno.stat(DIR).then(() => true, () => false)) await makeClip();
  const read = (name: string) => Deno.readFile(`${DIR}/${name}`);
  const many = (prefix: string, ending: string) =>
    Promise.all(Array.from({ length: CLIP_SECONDS / CLIP_SEGMENT_SECONDS }, (_, i) => read(`${prefix}${i}.${ending}`)));
  const mp4 = await read("clip.mp4");
  const other = await read("other.mp4");
  const otherMp4 = new Uint8Array(mp4.length); // a free box fills it up to the same length
  otherMp4.set(other.subarray(0, mp4.length));
  if (other.length + 8 <= mp4.length) {
    new DataView(otherMp4.buffer).setUint32(other.length, mp4.length - other.length);
    otherMp4.set(new TextEncoder().encode("free"), other.length + 4);
  }
  return {
    ts: await many("ts", "ts"),
    init: await read("init.mp4"),
    m4s: await many("m4s", "m4s"),
    videoTs: await many("video", "ts"),
    audioTs: await many("audio", "ts"),
    mp4,
    otherMp4,
    dir: DIR,
  };
}

/** `#EXTINF` lines for the given names, followed by ENDLIST. */
export function playlistOf(names: readonly string[], extra: { head?: readonly string[]; end?: boolean } = {}): string {
  return [
    "#EXTM3U",
    "#EXT-X-VERSION:7",
    `#EXT-X-TARGETDURATION:${CLIP_SEGMENT_SECONDS}`,
    ...(extra.head ?? []),
    ...names.flatMap((name) => [`#EXTINF:${CLIP_SEGMENT_SECONDS}.0,`, name]),
    ...(extra.end === false ? [] : ["#EXT-X-ENDLIST"]),
    "",
  ].join("\n");
}

async function makeClip(): Promise<void> {
  const making = `${DIR}.${crypto.randomUUID()}`;
  await Deno.mkdir(making, { recursive: true });
  const video = (size: string) => ["-f", "lavfi", "-t", `${CLIP_SECONDS}`, "-i", `testsrc2=size=${size}:rate=24`];
  const audio = ["-f", "lavfi", "-t", `${CLIP_SECONDS}`, "-i", "sine=frequency=440:sample_rate=48000"];
  const codec = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "48", "-keyint_min", "48"]
    .concat(["-sc_threshold", "0", "-c:a", "aac", "-b:a", "64k"]);
  const hls = (prefix: string) =>
    ["-f", "hls", "-hls_time", `${CLIP_SEGMENT_SECONDS}`, "-hls_playlist_type", "vod"]
      .concat(["-hls_segment_filename", `${making}/${prefix}%d.ts`, `${making}/${prefix}.m3u8`]);
  await ffmpeg([...video("640x360"), ...audio, ...codec, "-b:v", "3000k", "-f", "mp4", `${making}/clip.mp4`]);
  await ffmpeg([...video("320x180"), ...audio, ...codec, "-b:v", "600k", "-f", "mp4", `${making}/other.mp4`]);
  await ffmpeg([...video("320x180"), ...audio, ...codec, ...hls("ts")]);
  await ffmpeg([...video("320x180"), ...codec, ...hls("video")]);
  await ffmpeg([...audio, "-c:a", "aac", ...hls("audio")]);
  await ffmpeg([
    ...[...video("320x180"), ...audio, ...codec, "-f", "hls", "-hls_time", `${CLIP_SEGMENT_SECONDS}`],
    ...["-hls_playlist_type", "vod", "-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4"],
    ...["-hls_segment_filename", `${making}/m4s%d.m4s`, `${making}/m4s.m3u8`],
  ]);
  await Deno.rename(making, DIR).catch(() => Deno.remove(making, { recursive: true })); // another test was faster
}

async function ffmpeg(args: readonly string[]): Promise<void> {
  const output = await new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", "-y", ...args],
    stderr: "piped",
  }).output();
  if (!output.success) throw new Error(`ffmpeg: ${new TextDecoder().decode(output.stderr)}`);
}
