/**
 * Plays a link like a viewer's player: every byte through the proxy, decoded by ffprobe and ffmpeg.
 * Example: `await countPackets("http://127.0.0.1:8787/proxy?url=…")` → { video: 600, audio: 862 }.
 */
import { createHash } from "node:crypto";

export interface Packets {
  readonly video: number;
  readonly audio: number;
}

/** Demuxes the whole stream at `link` (MP4 or HLS) and counts the packets of its video and audio tracks. */
export async function countPackets(link: string, signal: AbortSignal): Promise<Packets> {
  const entries = "stream=codec_type,nb_read_packets";
  const args = ["-v", "error", "-count_packets", "-show_entries", entries, "-of", "json", link];
  const probe = JSON.parse(await run("ffprobe", args, signal)) as {
    streams?: { codec_type: string; nb_read_packets: string }[];
  };
  const packets = (type: string) =>
    Math.max(0, ...(probe.streams ?? []).filter((s) => s.codec_type === type).map((s) => Number(s.nb_read_packets)));
  return { video: packets("video"), audio: packets("audio") };
}

/** Seeks to `seconds` and decodes one frame, like a player when its progress bar is dragged. */
export async function decodeFrameAt(link: string, seconds: number, signal: AbortSignal): Promise<void> {
  const output = ["-map", "0:v:0", "-frames:v", "1", "-f", "framemd5", "pipe:1"];
  const frames = await run(
    "ffmpeg",
    ["-v", "error", "-nostdin", "-ss", String(seconds), "-i", link, ...output],
    signal,
  );
  if (!/^0,/m.test(frames)) throw new Error(`no frame could be decoded at ${seconds} s`);
}

export interface Download {
  readonly status: number;
  readonly bytes: number;
  readonly sha256: string;
  readonly contentRange: string | null;
}

/** Reads `link` to its end and hashes it; `range` is the value of a Range header. */
export async function download(link: string, options: { signal: AbortSignal; range?: string }): Promise<Download> {
  const headers: Record<string, string> = options.range === undefined ? {} : { Range: options.range };
  const response = await fetch(link, { headers, signal: options.signal });
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  const contentRange = response.headers.get("content-range");
  return { status: response.status, bytes, sha256: hash.digest("hex"), contentRange };
}

async function run(program: string, args: string[], signal: AbortSignal): Promise<string> {
  const output = await new Deno.Command(program, { args, signal, stdin: "null", stdout: "piped", stderr: "piped" })
    .output();
  if (!output.success) {
    const reason = new TextDecoder().decode(output.stderr).trim().split("\n").at(-1);
    throw new Error(`${program} could not play the link: ${reason}`);
  }
  return new TextDecoder().decode(output.stdout);
}
