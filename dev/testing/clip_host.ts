/** A host that serves the test clip as HLS, with faults. Example: `startFetchFixture(hlsHost(clip.ts, fault))`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Bytes, playlistOf, readClip } from "../emulators/origin/clip.ts";
import type { Host } from "./fetch_fixture.ts";
import type { FetchedSource } from "../../runner/job/source_tools.ts";

export const clip = await readClip();

export const names = clip.ts.map((_, i) => `/s${i}.ts`);

/** Serves a playlist of `segments`; `fault` may respond first. */
export function hlsHost(segments: readonly Bytes[], fault: Host = () => new Response(null, { status: 599 })): Host {
  return async (path, request) => {
    const response = await fault(path, request);
    if (response.status !== 599) return response;
    if (path === "/v.m3u8") return new Response(playlistOf(names));
    const index = names.indexOf(path);
    return index === -1 ? new Response(null, { status: 404 }) : new Response(segments[index]!);
  };
}

export async function assertWhole(result: FetchedSource): Promise<void> {
  assert.ok(Math.abs(result.durationSeconds - 12) < 0.2, `${result.durationSeconds} s`);
  assert.equal(createHash("sha256").update(await Deno.readFile(result.final.path)).digest("hex"), result.final.sha256);
}

export async function ffprobe(path: string, entries: string): Promise<{ streams: unknown[] }> {
  const { stdout } = await new Deno.Command("ffprobe", {
    args: ["-v", "error", "-show_entries", entries, "-of", "json", path],
    stdout: "piped",
  }).output();
  return JSON.parse(new TextDecoder().decode(stdout));
}
