/**
 * A progressive file by aria2c: size and ETag pinned, so that a resume never glues two files together (where the ETag alone differs,
 * bytes decide); fewer connections where a host refuses many. Runs on: Deno with aria2c on PATH.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { Resolved } from "../../sources/resolvers/index.ts";
import { completedSpans } from "../download/aria2_control.ts";
import { type Aria2c, CannotResume, startAria2c } from "../download/aria2c.ts";
import { type Look, look, lookAgain } from "../download/look.ts";
import { hostHas, readSamples, type Sample, sampleSpans } from "../download/samples.ts";
import type { Sniffed } from "../download/sniff.ts";
import type { ProbeFormat } from "../media/verify.ts";
import { FIRST_RESERVATION_BYTES } from "../work_dir/disk_budget.ts";
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
const MEDIA_NAME = "media.bin";
/** Of a file nothing is known but that it must be whole. */
const NOTHING_PROMISED = { durationSeconds: null, audioTracks: null, subtitleTracks: null };
const FORMAT = { mp4: "mov", matroska: "matroska", ts: "mpegts" } as const satisfies Record<string, ProbeFormat>;

export function isFile(sniffed: Sniffed): sniffed is keyof typeof FORMAT {
  return sniffed in FORMAT;
}

export type FileSource = {
  readonly job: SourceJob;
  readonly looked: Look;
  readonly container: keyof typeof FORMAT;
  readonly begun: BegunFile | null;
};

/** aria2c with its transfer. */
export type BegunFile = AsyncDisposable & {
  readonly transferred: Promise<void>;
  /** Ends it and leaves nothing of it. */
  readonly drop: () => Promise<void>;
};

/**
 * Starts to download what is most likely a file while it is looked at, which saves the time of an answer. Nothing is on disk yet that
 * another file could be glued to, there is room for the first bytes, and none of them is used before the look approved of them.
 */
export async function beginFile(resolved: Resolved, job: SourceJob, tools: SourceTools): Promise<BegunFile | null> {
  const onDisk = await Deno.stat(mediaPath(tools)).then(() => true, () => false);
  if (resolved.kind !== "mp4" || onDisk) return null;
  await tools.reservation.resize(FIRST_RESERVATION_BYTES);
  await tools.dir.writeState({ source: job.source }); // what comes now is not what an earlier run knew
  return begin({ source: resolved, connections: tools.mp4Connections }, tools);
}

export async function fetchFile(resolved: Resolved, file: FileSource, tools: SourceTools): Promise<FetchedSource> {
  const { sizeBytes } = file.looked;
  if (sizeBytes !== null) {
    if (sizeBytes > tools.maxBytes) {
      throw new KeepstreamError("too_large", `the file has ${sizeBytes} bytes, ${tools.maxBytes} are allowed`);
    }
    const kept = await Deno.stat(mediaPath(tools)).catch(() => null);
    tools.reservation.wrote((kept?.blocks ?? 0) * 512); // a file of aria2c has holes: its length says nothing
    await tools.reservation.resize(sizeBytes * DISK_FACTOR).catch(async (error) => {
      await file.begun?.drop(); // without a pin nobody can go on with it
      throw error;
    });
  }
  let source = resolved;
  let { looked } = file;
  for (const [rung, share] of CONNECTION_LADDER.entries()) {
    tools.progress.enter("downloading", looked.sizeBytes);
    tools.onPhase();
    const first = rung === 0 ? file.begun : null;
    if (first === null) await removeOthers({ source, looked }, tools);
    await writePin(looked, file, tools);
    await using begun = first ?? begin({ source, connections: tools.mp4Connections * share }, tools);
    try {
      await begun.transferred;
      await checkSize(looked, tools);
    } catch (error) {
      if (error instanceof CannotResume) await begun.drop();
      else if (!mayGoBetterWithFewer(error) || rung === CONNECTION_LADDER.length - 1) {
        throw error;
      } else if (error.code === "source_expired") source = await resolveCandidate(file.job.candidate, tools);
      looked = await look(source.url, mediaRequest(source, tools));
      continue;
    }
    const samples = await samplesOf(looked, tools);
    // Whether the host put another file there meanwhile is asked while this one is read.
    const [after, finished] = await Promise.allSettled([
      lookAfter({ source, looked, samples }, file, tools),
      finishFile(mediaPath(tools), { format: FORMAT[file.container], expected: NOTHING_PROMISED }, tools),
      begun[Symbol.asyncDispose](),
    ]);
    tools.signal.throwIfAborted();
    if (after.status === "rejected") throw after.reason;
    if (after.value.unchanged) {
      if (finished.status === "rejected") throw finished.reason;
      return finished.value;
    }
    ({ source, looked } = after.value);
    await startOver(tools);
  }
  throw new KeepstreamError("network", "the file changed on the host during every try");
}

function begin(what: { source: Resolved; connections: number }, tools: SourceTools): BegunFile {
  const stop = new AbortController();
  const signal = AbortSignal.any([tools.signal, stop.signal]);
  const aria = startAria2c({ dir: tools.dir.path, line: tools.line, signal });
  const transferred = aria.then((aria) => transfer(aria, what, { ...tools, signal }));
  transferred.catch(() => {}); // met by whoever needs the file
  let ended: Promise<void> | undefined;
  const end = async () => {
    stop.abort();
    await Promise.allSettled([aria.then((aria) => aria[Symbol.asyncDispose]()), transferred]);
  };
  return {
    transferred,
    drop: async () => {
      aria.then((aria) => aria.forget(), () => {});
      await (ended ??= end());
      await startOver(tools);
    },
    [Symbol.asyncDispose]: () => ended ??= end(),
  };
}

/** An address often ends before what was begun from it: then its page names another, and the file behind that one must be the same. */
async function lookAfter(
  before: { source: Resolved; looked: Look; samples: readonly Sample[] },
  { job }: FileSource,
  tools: SourceTools,
): Promise<{ source: Resolved; looked: Look; unchanged: boolean }> {
  let { source } = before;
  let looked: Look;
  try {
    looked = await lookAgain(source.url, mediaRequest(source, tools));
  } catch (error) {
    if (!(error instanceof KeepstreamError) || error.code !== "source_expired") throw error;
    source = await resolveCandidate(job.candidate, tools);
    looked = await look(source.url, mediaRequest(source, tools));
  }
  const sameEtag = before.looked.etag === looked.etag;
  const unchanged = before.looked.sizeBytes === looked.sizeBytes &&
    (sameEtag || await hostHas(before.samples, source.url, mediaRequest(source, tools)));
  return { source, looked, unchanged };
}

/** Fewer connections help where the host is the trouble; they make no room on a disk. */
function mayGoBetterWithFewer(error: unknown): error is KeepstreamError {
  return error instanceof KeepstreamError && error.retryable && error.code !== "disk_full";
}

async function transfer(
  aria: Aria2c,
  { source, connections }: { source: Resolved; connections: number },
  tools: SourceTools,
): Promise<void> {
  await aria.download(source.url, {
    out: MEDIA_NAME,
    headers: source.headers,
    connections: Math.max(1, Math.round(connections)),
    signal: tools.signal,
    onProgress: (done, total) => {
      tools.progress.set(done, total || null);
      tools.reservation.wrote(done);
    },
  });
}

/** What is on disk may be gone on with only if it is of the very file that the host has now. */
async function removeOthers(host: { source: Resolved; looked: Look }, tools: SourceTools): Promise<void> {
  const bytes = (await Deno.stat(mediaPath(tools)).catch(() => null))?.size ?? 0;
  if (bytes === 0) return;
  if (await isOfHost(host, tools)) tools.onResumed(bytes, "aria2");
  else await startOver(tools);
}

/** By its size and its ETag; where that is missing or another, by the bytes. */
async function isOfHost({ source, looked }: { source: Resolved; looked: Look }, tools: SourceTools): Promise<boolean> {
  const pin = (await tools.dir.readState())?.pin;
  if (pin === undefined || pin.sizeBytes !== looked.sizeBytes || !looked.ranges) return false;
  // Without its control file a sparse file looks finished up to its length: nothing in it can be trusted.
  const control = await Deno.readFile(`${mediaPath(tools)}.aria2`).catch(() => null);
  if (control === null) return false;
  if (pin.etag !== null && pin.etag === looked.etag) return true;
  const spans = completedSpans(control);
  if (looked.sizeBytes === null || spans === null) return false;
  const samples = await readSamples(mediaPath(tools), sampleSpans(spans));
  return await hostHas(samples, source.url, mediaRequest(source, tools));
}

/** Of the whole file; its beginning alone where the host sends no other part. */
async function samplesOf({ ranges }: Look, tools: SourceTools): Promise<Sample[]> {
  const { size } = await Deno.stat(mediaPath(tools));
  const spans = sampleSpans([{ offset: 0, length: size }]);
  return await readSamples(mediaPath(tools), ranges ? spans : spans.slice(0, 1));
}

async function writePin({ sizeBytes, etag }: Look, { job }: FileSource, { dir }: SourceTools): Promise<void> {
  await dir.writeState({ source: job.source, pin: { sizeBytes, etag } });
}

async function startOver(tools: SourceTools): Promise<void> {
  await Deno.remove(mediaPath(tools)).catch(() => {});
  await Deno.remove(`${mediaPath(tools)}.aria2`).catch(() => {});
}

async function checkSize(looked: Look, tools: SourceTools): Promise<void> {
  const { size } = await Deno.stat(mediaPath(tools));
  if (looked.sizeBytes === null || size === looked.sizeBytes) return;
  await startOver(tools);
  throw new KeepstreamError("network", `${size} of ${looked.sizeBytes} bytes arrived`);
}

function mediaPath({ dir }: SourceTools): string {
  return `${dir.path}/${MEDIA_NAME}`;
}
