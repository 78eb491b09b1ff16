/** What ffmpeg reads from the plain file and from the HLS view: packets and decoded frames, with their times. */
import { ffmpeg } from "./clips.ts";

export interface DecodedFrame {
  /** Seconds. */
  readonly at: number;
  readonly hash: string;
}

/** Every packet of every track, with timestamps. */
export function packetsOf(path: string): Promise<string> {
  return ffmpeg(["-i", path, "-map", "0", "-c", "copy", "-f", "framemd5", "-"]);
}

/** Every decoded frame of video and audio, with timestamps. */
export function framesOf(path: string): Promise<string> {
  const maps = ["-map", "0:v?", "-map", "0:a?"];
  return ffmpeg(["-i", path, ...maps, "-fps_mode", "passthrough", "-f", "framemd5", "-"]);
}

/** Decoded frames of one track, on the presentation's clock. */
export async function trackFrames(input: string, map: string): Promise<DecodedFrame[]> {
  const hls = input.endsWith(".m3u8") ? ["-allowed_extensions", "ALL"] : [];
  const args = ["-copyts", ...hls, "-i", input, "-map", map, "-fps_mode", "passthrough", "-enc_time_base", "-1"];
  const text = await ffmpeg([...args, "-f", "framemd5", "-"]);
  const [, numerator, denominator] = /^#tb 0: (\d+)\/(\d+)$/m.exec(text) ?? [];
  const tick = Number(numerator) / Number(denominator);
  return text.split("\n").filter((line) => /^\d/.test(line)).map((line) => {
    const [, , at, , , hash] = line.split(",").map((field) => field.trim());
    return { at: Number(at) * tick, hash: hash! };
  });
}
