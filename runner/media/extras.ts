/**
 * Makes a poster and a sprite sheet for a player's seek bar from the archive's key frames. Needs ffmpeg on PATH.
 * Example: `sprite.vtt` contains `00:00:02.000 --> 00:00:04.000` / `<key>.sprite.jpg#xywh=160,0,160,90`.
 */
import { runChildOrThrow } from "../process/child.ts";

const TILE = { width: 160, height: 90, columns: 10, rows: 10 } as const;
const MIN_INTERVAL_SECONDS = 2;
const POSTER_AT = 0.1;
/** Pixels of the longer side. */
const POSTER_SIDE = 1280;
const KEEP_RATIO = "force_original_aspect_ratio=decrease";

/** In the directory. */
export const PICTURE_FILES = ["poster.jpg", "sprite.jpg", "sprite.vtt"] as const;

export type Extra = {
  /** Replaces the `.mp4` of the archive's name. */
  readonly ending: ".poster.jpg" | ".sprite.jpg" | ".sprite.vtt";
  readonly path: string;
};

export async function makeExtras(
  video: string,
  options: { dir: string; fileKey: string; durationSeconds: number; signal: AbortSignal },
): Promise<Extra[]> {
  const { dir, durationSeconds, signal } = options;
  const input = ["-f", "mov", "-protocol_whitelist", "file", "-i", `file:${video}`, "-map", "0:v:0", "-an", "-sn"];
  const quiet = ["-nostdin", "-v", "error", "-nostats", "-y", "-threads", "1"];
  const picture = ["-frames:v", "1", "-q:v", "5", "-f", "image2", "-update", "1", "-protocol_whitelist", "file"];
  const poster = `${dir}/poster.jpg`;
  // The last key frame before the moment, whose time is negative then: there may be none after it. Stored pixels need not be square.
  const moment = ["-noaccurate_seek", "-ss", String(durationSeconds * POSTER_AT), "-skip_frame", "nokey"];
  const square = "scale=trunc(iw*sar/2)*2:ih,setsar=1";
  const inPoster = `scale='min(${POSTER_SIDE},iw)':'min(${POSTER_SIDE},ih)':${KEEP_RATIO}:force_divisible_by=2`;
  await runChildOrThrow("ffmpeg", [
    ...quiet,
    ...[...moment, ...input],
    ...["-vf", `setpts=PTS-STARTPTS,${square},${inPoster}`, ...picture, `file:${poster}`],
  ], { signal });
  const sprite = `${dir}/sprite.jpg`;
  const interval = spriteInterval(durationSeconds);
  // The first and the last key frame stand for what is before and after them.
  const spread = `tpad=stop_mode=clone:stop_duration=${
    Math.ceil(durationSeconds) + interval
  },fps=1/${interval}:start_time=0`;
  const inTile =
    `scale=${TILE.width}:${TILE.height}:${KEEP_RATIO},pad=${TILE.width}:${TILE.height}:(ow-iw)/2:(oh-ih)/2`;
  const grid = `trim=end_frame=${spriteTiles(durationSeconds, interval)},tile=${TILE.columns}x${TILE.rows}`;
  await runChildOrThrow("ffmpeg", [
    ...quiet,
    ...["-skip_frame", "nokey", ...input],
    ...["-vf", `${square},${spread},${inTile},${grid}`, ...picture, `file:${sprite}`],
  ], { signal });
  const vtt = `${dir}/sprite.vtt`;
  await Deno.writeTextFile(vtt, spriteVtt(`${options.fileKey}.sprite.jpg`, { durationSeconds, interval }));
  return [
    { ending: ".poster.jpg", path: poster },
    { ending: ".sprite.jpg", path: sprite },
    { ending: ".sprite.vtt", path: vtt },
  ];
}

/** The grid of a sheet. Pure. */
export function spriteInterval(durationSeconds: number): number {
  return Math.max(MIN_INTERVAL_SECONDS, Math.ceil(durationSeconds / (TILE.columns * TILE.rows)));
}

function spriteTiles(durationSeconds: number, interval: number): number {
  return Math.max(1, Math.min(TILE.columns * TILE.rows, Math.ceil(durationSeconds / interval)));
}

/** Pure. */
export function spriteVtt(picture: string, options: { durationSeconds: number; interval: number }): string {
  const tiles = spriteTiles(options.durationSeconds, options.interval);
  const cues = Array.from({ length: tiles }, (_, i) => {
    const [x, y] = [(i % TILE.columns) * TILE.width, Math.floor(i / TILE.columns) * TILE.height];
    const end = Math.min((i + 1) * options.interval, options.durationSeconds);
    return `${clock(i * options.interval)} --> ${clock(end)}\n${picture}#xywh=${x},${y},${TILE.width},${TILE.height}`;
  });
  return `WEBVTT\n\n${cues.join("\n\n")}\n`;
}

function clock(seconds: number): string {
  return new Date(Math.round(seconds * 1000)).toISOString().slice(11, 23);
}
