/**
 * The same streams through `ffmpeg -c copy` and yt-dlp, whose files are compared with the sources in the same way. A refused stream is right
 * if the tool ends with an error. Example: `await runPeer("yt-dlp", stream)` → { name, verdict: "wrong", detail: "frame 192 differs" }.
 */
import { startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { compare } from "./run_stream.ts";
import type { TestStream } from "./stream.ts";

export const PEERS = ["ffmpeg -c copy", "yt-dlp"] as const;
export type Peer = (typeof PEERS)[number];

export interface PeerResult {
  readonly verdict: "right" | "wrong" | "failed" | "accepted";
  readonly detail: string;
}

const TIMEOUT_SECONDS = 60;

export async function runPeer(peer: Peer, { host, entry = "/v.m3u8", expected }: TestStream): Promise<PeerResult> {
  await using fixture = await startFetchFixture(host);
  const dir = await Deno.makeTempDir({ prefix: "keepstream-peer-" });
  const output = `${dir}/out.mp4`;
  const url = `${fixture.url}${entry}`;
  const args = peer === "yt-dlp"
    ? [
      "yt-dlp",
      "--no-config",
      "--quiet",
      "--no-progress",
      "--remux-video",
      "mp4",
      "--hls-prefer-native",
      "-o",
      output,
      url,
    ]
    : [
      "ffmpeg",
      "-nostdin",
      "-v",
      "error",
      "-y",
      // The suite's segments have no file name extension.
      ...(url.endsWith(".m3u8") ? ["-allowed_segment_extensions", "ALL", "-extension_picky", "0"] : []),
      "-i",
      url,
      "-map",
      "0:v?",
      "-map",
      "0:a?",
      "-c",
      "copy",
      "-strict",
      "-2",
      output,
    ];
  try {
    const { success, stderr } = await new Deno.Command("timeout", {
      args: [`${TIMEOUT_SECONDS}`, ...args],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    const there = await Deno.stat(output).then(() => true, () => false);
    if (!success || !there) {
      const line = new TextDecoder().decode(stderr).trim().split("\n").at(-1)!.slice(0, 120);
      return { verdict: expected.outcome === "refused" ? "right" : "failed", detail: line };
    }
    if (expected.outcome === "refused") return { verdict: "accepted", detail: "exit code 0" };
    const problem = await compare(output, { ...expected, tag: undefined, cues: undefined, languages: undefined });
    return { verdict: problem === null ? "right" : "wrong", detail: problem ?? "" };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
