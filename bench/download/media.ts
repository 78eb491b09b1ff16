/**
 * Media of the benchmark, made once: 600 s of video at a constant rate, as HLS (clear, AES-128, fMP4) in 4 s segments and as MP4, and a
 * longer MP4 of 610 MB.
 */
import type { LinkProfile } from "./link_profile.ts";

const VERSION = "2";
export const MEDIA_DIR = new URL("../../.keepstream/bench-download", import.meta.url).pathname;
export const SECONDS = 600;
export const LARGE_SECONDS = 2240;
const LOOP_SECONDS = 20;

export async function makeBenchMedia(): Promise<void> {
  if (await Deno.readTextFile(`${MEDIA_DIR}/made`).catch(() => "") === VERSION) return;
  await Deno.remove(MEDIA_DIR, { recursive: true }).catch(() => {});
  for (const name of ["ts", "aes", "fmp4"]) await Deno.mkdir(`${MEDIA_DIR}/${name}`, { recursive: true });
  const loop = `${MEDIA_DIR}/loop.mp4`;
  await ffmpeg([
    ...["-f", "lavfi", "-t", `${LOOP_SECONDS}`, "-i", "testsrc2=size=640x360:rate=24"],
    ...["-f", "lavfi", "-t", `${LOOP_SECONDS}`, "-i", "sine=frequency=440:sample_rate=48000"],
    ...["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "96", "-keyint_min", "96"],
    ...["-sc_threshold", "0", "-b:v", "2000k", "-minrate", "2000k", "-maxrate", "2000k", "-bufsize", "2000k"],
    ...["-x264-params", "nal-hrd=cbr:force-cfr=1", "-c:a", "aac", "-b:a", "128k", loop],
  ]);
  const looped = (seconds: number) => ["-stream_loop", `${seconds / LOOP_SECONDS - 1}`, "-i", loop, "-c", "copy"];
  const input = looped(SECONDS);
  const hls = (dir: string, ending: string) =>
    ["-f", "hls", "-hls_time", "4", "-hls_playlist_type", "vod"]
      .concat(["-hls_segment_filename", `${MEDIA_DIR}/${dir}/s%d.${ending}`]);
  await ffmpeg([...input, ...hls("ts", "ts"), `${MEDIA_DIR}/ts/v.m3u8`]);
  await Deno.writeFile(`${MEDIA_DIR}/aes/key`, crypto.getRandomValues(new Uint8Array(16)));
  await Deno.writeTextFile(`${MEDIA_DIR}/key.info`, `key\n${MEDIA_DIR}/aes/key\n`);
  await ffmpeg([
    ...input,
    ...hls("aes", "ts"),
    "-hls_key_info_file",
    `${MEDIA_DIR}/key.info`,
    `${MEDIA_DIR}/aes/v.m3u8`,
  ]);
  await ffmpeg([
    ...[...input, ...hls("fmp4", "m4s"), "-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4"],
    `${MEDIA_DIR}/fmp4/v.m3u8`,
  ]);
  await ffmpeg([...input, `${MEDIA_DIR}/mp4.mp4`]);
  await ffmpeg([...looped(LARGE_SECONDS), `${MEDIA_DIR}/large.mp4`]);
  await Deno.writeTextFile(`${MEDIA_DIR}/made`, VERSION);
}

/** The least time that `connections` need: each response costs latency and its bytes at the cap, each connection its setup. */
export async function limitSeconds(
  name: string,
  profile: LinkProfile,
  connections: number,
): Promise<number> {
  if (name === "mp4" || name === "large") {
    const { size } = await Deno.stat(`${MEDIA_DIR}/${name}.mp4`);
    return size / (connections * profile.bytesPerSecond) + (profile.connectMs + profile.latencyMs) / 1000;
  }
  const sizes: number[] = [];
  for await (const entry of Deno.readDir(`${MEDIA_DIR}/${name}`)) {
    if (/^s\d+\./.test(entry.name)) sizes.push((await Deno.stat(`${MEDIA_DIR}/${name}/${entry.name}`)).size);
  }
  const free = new Array<number>(connections).fill((profile.connectMs + 2 * profile.latencyMs) / 1000); // playlist first
  for (const size of sizes.sort((a, b) => b - a)) {
    const next = free.indexOf(Math.min(...free));
    free[next]! += profile.latencyMs / 1000 + size / profile.bytesPerSecond;
  }
  return Math.max(...free);
}

async function ffmpeg(args: readonly string[]): Promise<void> {
  const output = await new Deno.Command("ffmpeg", { args: ["-nostdin", "-v", "error", "-y", ...args] }).output();
  if (!output.success) throw new Error(new TextDecoder().decode(output.stderr));
}
