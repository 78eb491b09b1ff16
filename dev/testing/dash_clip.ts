/**
 * An MPEG-DASH presentation made by ffmpeg: 8 s, two video representations, audio in Japanese and English, segments of 2 s; and the
 * decoded content of files, to compare an archive with. Example: `const clip = await dashClip()`; `clip.files.get("init-stream0.m4s")`.
 */
import { ranged } from "./fetch_fixture.ts";

export type Files = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

export interface DashClip {
  readonly mpd: string;
  readonly files: Files;
}

const SECONDS = 8;
const INPUTS = [
  ...["-f", "lavfi", "-i", `testsrc2=s=160x90:r=25:d=${SECONDS}`],
  ...["-f", "lavfi", "-i", `sine=440:d=${SECONDS}`],
  ...["-f", "lavfi", "-i", `sine=880:d=${SECONDS}`],
  ...["-map", "0:v", "-map", "0:v", "-map", "1:a", "-map", "2:a"],
  ...["-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-pix_fmt", "yuv420p", "-s:v:1", "320x180"],
  ...["-c:a", "aac", "-metadata:s:a:0", "language=jpn", "-metadata:s:a:1", "language=eng"],
];
const DASH = ["-f", "dash", "-seg_duration", "2", "-adaptation_sets", "id=0,streams=0,1 id=1,streams=2 id=2,streams=3"];

const made = new Map<string, Promise<DashClip>>();

/** `extra`: arguments of ffmpeg's DASH muxer. */
export async function dashClip(extra: readonly string[] = []): Promise<DashClip> {
  const key = extra.join(" ");
  const clip = made.get(key) ?? make(extra);
  made.set(key, clip);
  return await clip;
}

async function make(extra: readonly string[]): Promise<DashClip> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-dash-" });
  try {
    await ffmpeg([...INPUTS, ...DASH, ...extra, "m.mpd"], dir);
    const files = new Map<string, Uint8Array<ArrayBuffer>>();
    for await (const { name } of Deno.readDir(dir)) files.set(name, await Deno.readFile(`${dir}/${name}`));
    return { mpd: new TextDecoder().decode(files.get("m.mpd")), files };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** The pieces of one of the clip's streams, in order. */
export function pieces({ files }: DashClip, stream: number): Uint8Array<ArrayBuffer>[] {
  const names = [...files.keys()].filter((name) => name.startsWith(`chunk-stream${stream}-`)).sort();
  return [`init-stream${stream}.m4s`, ...names].map((name) => files.get(name)!);
}

/** Serves `mpd` at /m.mpd and each file at any path with its name. */
export function dashHost(mpd: string, files: Files): (path: string, request: Request) => Response {
  return (path, request) => {
    if (path === "/m.mpd") return new Response(mpd, { headers: { "content-type": "application/dash+xml" } });
    const bytes = files.get(path.split("/").at(-1)!);
    return bytes === undefined ? new Response(null, { status: 404 }) : ranged(request, bytes);
  };
}

/** The checksum of every decoded video frame, or of all audio samples. */
export async function decoded(path: string, stream: string): Promise<string[]> {
  const format = stream.startsWith("v") ? ["-fps_mode", "passthrough", "-f", "framemd5"] : ["-f", "md5"];
  const text = await ffmpeg(["-i", path, "-map", `0:${stream}`, ...format, "-"]);
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).map((line) =>
    line.split(",").at(-1)!.trim()
  );
}

/** The decoded content of fragments, which are concatenated into one file. */
export async function decodedPieces(pieces: readonly Uint8Array<ArrayBuffer>[], stream: string): Promise<string[]> {
  const path = await Deno.makeTempFile({ prefix: "keepstream-dash-" });
  try {
    await Deno.writeFile(path, new Uint8Array(await new Blob([...pieces]).arrayBuffer()));
    return await decoded(path, stream);
  } finally {
    await Deno.remove(path);
  }
}

async function ffmpeg(args: readonly string[], cwd?: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", "-y", ...args],
    ...(cwd === undefined ? {} : { cwd }),
    stdin: "null",
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
