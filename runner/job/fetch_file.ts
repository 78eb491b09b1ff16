/**
 * A progressive file by aria2c: size and ETag pinned, so that a resume never glues two files together; fewer connections where a host
 * refuses many. Runs on: Deno with aria2c on PATH.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { Resolved } from "../../sources/resolve.ts";
import { type Aria2c, CannotResume, startAria2c } from "../download/aria2c.ts";
import { type Look, look } from "../download/look.ts";
import type { ProbeFormat } from "../media/verify.ts";
import { finishFile } from "./finish_file.ts";
import {
  type FetchedSource,
  mediaRequest,
  resolveCandidate,
  type SourceJob,
  type SourceTools,
} from "./source_tools.ts";

const DISK_FACTOR = 2.2;
/** Shares of the configured connections, one after the other. */
const CONNECTION_LADDER = [1, 0.5, 0.125];
const FORMAT = { mp4: "mov", matroska: "matroska", ts: "mpegts" } as const satisfies Record<string, ProbeFormat>;

export type FileSource = { readonly job: SourceJob; readonly looked: Look; readonly container: keyof typeof FORMAT };

export async function fetchFile(resolved: Resolved, file: FileSource, tools: SourceTools): Promise<FetchedSource> {
  const { dir, progress } = tools;
  if (file.looked.sizeBytes !== null) {
    if (file.looked.sizeBytes > tools.maxBytes) {
      throw new KeepstreamError(
        "too_large",
        `the file has ${file.looked.sizeBytes} bytes, ${tools.maxBytes} are allowed`,
      );
    }
    const kept = await Deno.stat(`${dir.path}/media.bin`).catch(() => null);
    tools.reservation.wrote((kept?.blocks ?? 0) * 512); // a file of aria2c has holes: its length says nothing
    await tools.reservation.resize(file.looked.sizeBytes * DISK_FACTOR);
  }
  progress.enter("downloading", file.looked.sizeBytes);
  tools.onPhase();
  const path = `${dir.path}/media.bin`;
  await download(resolved, { ...file, path }, tools);
  const expected = { durationSeconds: null, audioTracks: null, subtitleTracks: null };
  return await finishFile(path, { format: FORMAT[file.container], expected }, tools);
}

async function download(resolved: Resolved, file: FileSource & { path: string }, tools: SourceTools): Promise<void> {
  const { dir } = tools;
  let source = resolved;
  let looked = file.looked;
  await pin(looked, file, tools);
  await using aria = await startAria2c({ dir: dir.path, line: tools.line, signal: tools.signal });
  for (const [rung, share] of CONNECTION_LADDER.entries()) {
    const connections = Math.max(1, Math.round(tools.mp4Connections * share));
    try {
      await transfer(aria, source, connections, tools);
      const after = await look(source.url, mediaRequest(source, tools));
      if (same(looked, after)) return await checkSize(file.path, looked);
      looked = after; // the host put another file there meanwhile
      await startOver(file.path);
    } catch (error) {
      if (error instanceof CannotResume) await startOver(file.path);
      else if (!mayGoBetterWithFewer(error) || rung === CONNECTION_LADDER.length - 1) {
        throw error;
      } else if (error.code === "source_expired") source = await resolveCandidate(file.job.candidate, tools);
      looked = await look(source.url, mediaRequest(source, tools));
    }
    await pin(looked, file, tools);
  }
  throw new KeepstreamError("network", "the file changed on the host during every try");
}

/** Fewer connections help where the host is the trouble; they make no room on a disk. */
function mayGoBetterWithFewer(error: unknown): error is KeepstreamError {
  return error instanceof KeepstreamError && error.retryable && error.code !== "disk_full";
}

async function transfer(aria: Aria2c, source: Resolved, connections: number, tools: SourceTools): Promise<void> {
  await aria.download(source.url, {
    out: "media.bin",
    headers: source.headers,
    connections,
    signal: tools.signal,
    onProgress: (done, total) => {
      tools.progress.set(done, total || null);
      tools.reservation.wrote(done);
    },
  });
}

/** What is on disk may be gone on with only if it is of the very file that the host has now. */
async function pin(looked: Look, file: FileSource & { path: string }, tools: SourceTools): Promise<void> {
  const { dir } = tools;
  const state = await dir.readState();
  const bytes = (await Deno.stat(file.path).catch(() => null))?.size ?? 0;
  const control = await Deno.stat(`${file.path}.aria2`).then(() => true, () => false);
  const known = looked.etag !== null || looked.sizeBytes !== null;
  const kept = state?.pin !== undefined && same(state.pin, looked) && known && looked.ranges;
  // Without its control file a sparse file looks finished up to its length: nothing in it can be trusted.
  if (bytes > 0 && !(kept && control)) await startOver(file.path);
  else if (bytes > 0) tools.onResumed(bytes, "aria2");
  await dir.writeState({ source: file.job.source, pin: { sizeBytes: looked.sizeBytes, etag: looked.etag } });
}

function same(a: Pick<Look, "sizeBytes" | "etag">, b: Pick<Look, "sizeBytes" | "etag">): boolean {
  return a.sizeBytes === b.sizeBytes && a.etag === b.etag;
}

async function startOver(path: string): Promise<void> {
  await Deno.remove(path).catch(() => {});
  await Deno.remove(`${path}.aria2`).catch(() => {});
}

async function checkSize(path: string, looked: Look): Promise<void> {
  const { size } = await Deno.stat(path);
  if (looked.sizeBytes === null || size === looked.sizeBytes) return;
  await startOver(path);
  throw new KeepstreamError("network", `${size} of ${looked.sizeBytes} bytes arrived`);
}
