/**
 * 12 s of video and audio in three segments, whose timestamps start anywhere. Made with ffmpeg.
 * Example: `const { files } = await clockedClip("ts", { startSeconds: 95_439.717 })`; `files.get("/v.m3u8")`.
 */
import type { Bytes } from "../emulators/origin/clip.ts";

/** Seconds after which 33 bits of 90 kHz start again at 0. */
export const TS_WRAP_SECONDS = 2 ** 33 / 90_000;

export interface ClockedClip {
  /** By path: `/v.m3u8` and what it lists. */
  readonly files: ReadonlyMap<string, Bytes>;
}

export async function clockedClip(
  type: "ts" | "fmp4",
  { startSeconds }: { startSeconds: number },
): Promise<ClockedClip> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-clocked-" });
  try {
    const { code, stderr } = await new Deno.Command("ffmpeg", {
      args: [
        ...["-nostdin", "-v", "error", "-f", "lavfi", "-t", "12", "-i", "testsrc2=size=160x90:rate=24"],
        ...["-f", "lavfi", "-t", "12", "-i", "sine=frequency=440:sample_rate=48000"],
        ...["-c:v", "libx264", "-preset", "ultrafast", "-g", "96", "-sc_threshold", "0", "-c:a", "aac"],
        ...["-muxdelay", "0", "-muxpreload", "0", "-output_ts_offset", `${startSeconds}`],
        ...["-f", "hls", "-hls_time", "4", "-hls_playlist_type", "vod"],
        // Without frag_discont, fragments start at 0 and an edit list delays them.
        ...type === "ts"
          ? ["-hls_segment_type", "mpegts"]
          : ["-hls_segment_type", "fmp4", "-hls_segment_options", "movflags=+frag_discont"],
        ...["-hls_segment_filename", `${dir}/s%d.${type === "ts" ? "ts" : "m4s"}`, `${dir}/v.m3u8`],
      ],
      stdout: "null",
    }).output();
    if (code !== 0) throw new Error(`ffmpeg: ${new TextDecoder().decode(stderr)}`);
    const names = [...Deno.readDirSync(dir)].map(({ name }) => name);
    return {
      files: new Map(
        await Promise.all(names.map(async (name) => [`/${name}`, await Deno.readFile(`${dir}/${name}`)] as const)),
      ),
    };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
