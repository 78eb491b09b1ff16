/**
 * Downloads a progressive file with aria2c. Its size and ETag are pinned, so that a resumed download never mixes two files; if only the
 * ETag differs, samples of the bytes decide. Uses fewer connections if the host refuses many.
 */
import { KeepstreamError } from "../../core/errors.ts";
import type { Resolved } from "../../sources/resolvers/index.ts";
import { completedSpans } from "../download/aria2_control.ts";
import { type Aria2c, CannotResume, startAria2c } from "../download/aria2c.ts";
import { type Probe, probe, probeWithRetry } from "../download/probe.ts";
import { hostHas, readSamples, type Sample, sampleSpans } from "../download/samples.ts";
import type { Sniffed } from "../download/sniff.ts";
import type { ProbeFormat } from "../media/verify.ts";
import { FIRST_RESERVATION_BYTES } from "../work_dir/disk_budget.ts";
import type { ListedSubtitles } from "./add_subtitles.ts";
import { finishFile } from "./finish_file.ts";
import {
  type FetchedSource,
  mediaRequest,
  resolveCandidate,
  type SourceJob,
  type SourceTools,
} from "./source_tools.ts";

const DISK_FACTOR = 2.2;
/** Shares of the configured connections, tried in this order. */
const CONNECTION_STEPS = [1, 0.5, 0.125];
const MEDIA_NAME = "media.bin";
/** Nothing is known about a file, except that it must be complete. */
const NOTHING_PROMISED = { videoTracks: null, audioTracks: null, subtitleTracks: null };
const FORMAT = { mp4: "mov", matroska: "matroska", ts: "mpegts" } as const satisfies Record<string, ProbeFormat>;

export function isFile(sniffed: Sniffed): sniffed is keyof typeof FORMAT {
  return sniffed in FORMAT;
}

export type FileSource = {
  readonly job: SourceJob;
  readonly listed: ListedSubtitles;
  readonly probed: Probe;
  readonly container: keyof typeof FORMAT;
  readonly begun: StartedDownload | null;
};

/** A running aria2c and its transfer. */
export type StartedDownload = AsyncDisposable & {
  readonly transferred: Promise<void>;
  /** Stops it and deletes its files. */
  readonly drop: () => Promise<void>;
};

/**
 * Starts the download of a probable file during its probe, which saves a round trip. It starts from an empty directory with space for
 * the first bytes, and the bytes are used only if the probe confirms them.
 */
export async function startDownload(
  resolved: Resolved,
  job: SourceJob,
  tools: SourceTools,
): Promise<StartedDownload | null> {
  const onDisk = await Deno.stat(mediaPath(tools)).then(() => true, () => false);
  if (resolved.kind !== "mp4" || onDisk) return null;
  await tools.reservation.resize(FIRST_RESERVATION_BYTES);
  await tools.dir.writeState({ source: job.source }); // drops the pin of an earlier run
  return begin({ source: resolved, connections: tools.mp4Connections }, tools);
}

export async function fetchFile(resolved: Resolved, file: FileSource, tools: SourceTools): Promise<FetchedSource> {
  const { sizeBytes } = file.probed;
  if (sizeBytes !== null) {
    if (sizeBytes > tools.maxBytes) {
      throw new KeepstreamError("too_large", `the file has ${sizeBytes} bytes, ${tools.maxBytes} are allowed`);
    }
    const kept = await Deno.stat(mediaPath(tools)).catch(() => null);
    tools.reservation.wrote((kept?.blocks ?? 0) * 512); // aria2c's files are sparse, so their length is not what is on disk
    const factor = DISK_FACTOR + (file.listed.count > 0 ? 1 : 0);
    await tools.reservation.resize(sizeBytes * factor).catch(async (error) => {
      await file.begun?.drop(); // it has no pin, so it cannot be resumed
      throw error;
    });
  }
  let source = resolved;
  let { probed } = file;
  for (const [rung, share] of CONNECTION_STEPS.entries()) {
    tools.progress.enter("downloading", probed.sizeBytes);
    tools.onPhase();
    const first = rung === 0 ? file.begun : null;
    if (first === null) await removeOthers({ source, probed }, tools);
    await writePin(probed, file, tools);
    await using begun = first ?? begin({ source, connections: tools.mp4Connections * share }, tools);
    try {
      await begun.transferred;
      await checkSize(probed, tools);
    } catch (error) {
      if (error instanceof CannotResume) await begun.drop();
      else if (!mayGoBetterWithFewer(error) || rung === CONNECTION_STEPS.length - 1) {
        throw error;
      } else if (error.code === "source_expired") source = await resolveCandidate(file.job.candidate, tools);
      probed = await probe(source.url, mediaRequest(source, tools));
      continue;
    }
    const samples = await samplesOf(probed, tools);
    // While the file is verified, check whether the host has replaced it.
    const [after, finished] = await Promise.allSettled([
      probeAfter({ source, probed, samples }, file, tools),
      finish(file, tools),
      begun[Symbol.asyncDispose](),
    ]);
    tools.signal.throwIfAborted();
    if (after.status === "rejected") throw after.reason;
    if (after.value.unchanged) {
      if (finished.status === "rejected") throw finished.reason;
      return finished.value;
    }
    ({ source, probed } = after.value);
    await startOver(tools);
  }
  throw new KeepstreamError("network", "the file changed on the host during every attempt");
}

async function finish({ container, listed }: FileSource, tools: SourceTools): Promise<FetchedSource> {
  const media = { path: mediaPath(tools), format: FORMAT[container], expected: NOTHING_PROMISED };
  const file = await listed.addTo(media);
  return listed.report(await finishFile(file.path, file, tools));
}

function begin(what: { source: Resolved; connections: number }, tools: SourceTools): StartedDownload {
  const stop = new AbortController();
  const signal = AbortSignal.any([tools.signal, stop.signal]);
  const aria = startAria2c({ dir: tools.dir.path, session: tools.session, signal });
  const transferred = aria.then((aria) => transfer(aria, what, { ...tools, signal }));
  transferred.catch(() => {}); // handled where it is awaited
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

/** A URL often expires during the download. Its page then has a new one, which must lead to the same file. */
async function probeAfter(
  before: { source: Resolved; probed: Probe; samples: readonly Sample[] },
  { job }: FileSource,
  tools: SourceTools,
): Promise<{ source: Resolved; probed: Probe; unchanged: boolean }> {
  let { source } = before;
  let probed: Probe;
  try {
    probed = await probeWithRetry(source.url, mediaRequest(source, tools));
  } catch (error) {
    if (!(error instanceof KeepstreamError) || error.code !== "source_expired") throw error;
    source = await resolveCandidate(job.candidate, tools);
    probed = await probe(source.url, mediaRequest(source, tools));
  }
  const sameEtag = before.probed.etag === probed.etag;
  const unchanged = before.probed.sizeBytes === probed.sizeBytes &&
    (sameEtag || await hostHas(before.samples, source.url, mediaRequest(source, tools)));
  return { source, probed, unchanged };
}

/** Fewer connections help against a host that refuses, not against a full disk. */
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

/** Deletes a partial download unless it is of the file that the host has now. */
async function removeOthers(host: { source: Resolved; probed: Probe }, tools: SourceTools): Promise<void> {
  const bytes = (await Deno.stat(mediaPath(tools)).catch(() => null))?.size ?? 0;
  if (bytes === 0) return;
  if (await isOfHost(host, tools)) tools.onResumed(bytes, "aria2");
  else await startOver(tools);
}

/** Compares size and ETag; if the ETag is missing or differs, samples of the bytes. */
async function isOfHost({ source, probed }: { source: Resolved; probed: Probe }, tools: SourceTools): Promise<boolean> {
  const pin = (await tools.dir.readState())?.pin;
  if (pin === undefined || pin.sizeBytes !== probed.sizeBytes || !probed.ranges) return false;
  // Without aria2's control file, which parts of a sparse file are written is unknown.
  const control = await Deno.readFile(`${mediaPath(tools)}.aria2`).catch(() => null);
  if (control === null) return false;
  if (pin.etag !== null && pin.etag === probed.etag) return true;
  const spans = completedSpans(control);
  if (probed.sizeBytes === null || spans === null) return false;
  const samples = await readSamples(mediaPath(tools), sampleSpans(spans));
  return await hostHas(samples, source.url, mediaRequest(source, tools));
}

/** Samples across the file; only its beginning if the host does not support ranges. */
async function samplesOf({ ranges }: Probe, tools: SourceTools): Promise<Sample[]> {
  const { size } = await Deno.stat(mediaPath(tools));
  const spans = sampleSpans([{ offset: 0, length: size }]);
  return await readSamples(mediaPath(tools), ranges ? spans : spans.slice(0, 1));
}

async function writePin({ sizeBytes, etag }: Probe, { job }: FileSource, { dir }: SourceTools): Promise<void> {
  await dir.writeState({ source: job.source, pin: { sizeBytes, etag } });
}

async function startOver(tools: SourceTools): Promise<void> {
  await Deno.remove(mediaPath(tools)).catch(() => {});
  await Deno.remove(`${mediaPath(tools)}.aria2`).catch(() => {});
}

async function checkSize(probed: Probe, tools: SourceTools): Promise<void> {
  const { size } = await Deno.stat(mediaPath(tools));
  if (probed.sizeBytes === null || size === probed.sizeBytes) return;
  await startOver(tools);
  throw new KeepstreamError("network", `${size} of ${probed.sizeBytes} bytes arrived`);
}

function mediaPath({ dir }: SourceTools): string {
  return `${dir.path}/${MEDIA_NAME}`;
}
