/**
 * Downloads the segments of a plan in parallel: journalled, retried, decrypted and checked. If URLs expire, the source is resolved again
 * and the download continues at the same segment. Example: `await downloadHls(plan, { dir, connections: 32, … })`.
 */
import { type ErrorClass, KeepstreamError } from "../../core/errors.ts";
import { retry, retryDelay } from "../../core/retry.ts";
import { saysDiskFull } from "../work_dir/disk_full_text.ts";
import { type InitSection, type Segment, segmentIv } from "../../core/hls/playlist.ts";
import type { Omission } from "../../core/media_report.ts";
import type { MediaRequest } from "../network/guarded_fetch.ts";
import {
  MAX_RETRIED_GAPS,
  MAX_SEGMENT_DELAY_MS,
  MAX_SOURCE_REFRESHES,
  SEGMENT_FETCH,
  SUBTITLE_ATTEMPTS,
} from "../retry_policies.ts";
import { type HlsPlan, isSamePlan, type PlannedRendition } from "./hls_plan.ts";
import { ConnectionLimit } from "./connection_limit.ts";
import { DamagedSegment, SegmentBody, type SegmentBodyOptions, type SegmentContainer } from "./segment_body.ts";
import { fetchPiece, type Piece, streamPiece, type Transfer } from "./segment_fetch.ts";
import { isDataUrl, readDataUrl } from "./data_url.ts";
import { renditionNames } from "./rendition_names.ts";
import { openSegmentJournal, type SegmentJournal, type StoredContainer } from "./segment_journal.ts";

const MAX_KEY_BYTES = 1 << 20;
/** A last segment of 0 bytes is tolerated if it announces at most this. */
const MAX_EMPTY_SECONDS = 0.1;
/** Codes that may pass. A new playlist URL repairs source_expired. */
const TRANSIENT = new Set(["network", "timeout", "upstream_5xx", "rate_limited", "source_expired"]);

/** Codes with which a host, or a proxy in front of it, refuses connections, and the fewest connections to fall back to. */
const LEAST_CONNECTIONS: Readonly<Partial<Record<ErrorClass, number>>> = {
  network: 4,
  upstream_5xx: 1,
  rate_limited: 1,
};

export type DownloadedRendition = PlannedRendition & {
  readonly container: SegmentContainer;
  /** One file per segment, in order; "" for a missing one. */
  readonly files: readonly string[];
  /** Init section of each segment; null for MPEG-TS. */
  readonly maps: readonly (string | null)[];
  readonly leftOut: readonly Omission[];
  /** Subtitle segments that could not be fetched, by index: a gap. Empty for video and audio, whose failures end the download. */
  readonly missing: ReadonlyMap<number, KeepstreamError>;
  /** Segments whose first transfer failed, by index: decoding verifies them. */
  readonly retried: ReadonlySet<number>;
};

/** A segment on disk, decrypted and checked. */
export type PlacedSegment = {
  readonly path: string;
  readonly container: SegmentContainer;
  /** Its init section; null for MPEG-TS. */
  readonly map: string | null;
  readonly retried: boolean;
};

export type HlsDownloadOptions = MediaRequest & {
  readonly dir: string;
  /** Maximum; the download starts with half of it. */
  readonly connections: number;
  /** Resolves the source and reads the playlist again. Called when URLs have expired. */
  readonly resolveAgain: () => Promise<HlsPlan>;
  /** Bytes on disk, estimated total bytes, finished and total segments. */
  readonly onProgress: (progress: { done: number; total: number; segmentsDone: number; segments: number }) => void;
  readonly onBytes?: (bytes: number) => void;
  /** Runs during the download with the segments of the first rendition, in order. If it fails, the download fails. */
  readonly alongside?: ((segments: AsyncIterable<PlacedSegment>) => Promise<void>) | undefined;
  readonly random?: () => number;
};

type PieceRequest = Parameters<typeof streamPiece>[1];
type Task = { readonly rendition: number; readonly index: number; readonly file: string };

export async function downloadHls(plan: HlsPlan, options: HlsDownloadOptions): Promise<DownloadedRendition[]> {
  const names = await renditionNames(plan);
  await using journal = await openSegmentJournal(options.dir, names);
  const download = new HlsDownload(plan, names, journal, options);
  await download.run();
  return await download.collect();
}

class HlsDownload {
  #plan: HlsPlan;
  #generation = 0;
  #refreshing: Promise<void> | null = null;
  readonly #connections: ConnectionLimit;
  #storedNext: (() => void)[] = [];
  readonly #keys = new Map<string, Promise<CryptoKey>>();
  readonly #maps = new Map<string, Promise<string>>();
  /** The init section that a segment was fetched with. A refreshed plan may name another one. */
  readonly #mapOf = new Map<string, string | null>();
  /** Per rendition. */
  readonly #missing: readonly Map<number, KeepstreamError>[];
  readonly #retried = new Set<string>();
  /** Of the renditions, in the journal. */
  readonly #names: readonly string[];
  readonly #journal: SegmentJournal;
  readonly #options: HlsDownloadOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;

  constructor(
    plan: HlsPlan,
    names: readonly string[],
    journal: SegmentJournal,
    options: HlsDownloadOptions,
  ) {
    this.#plan = plan;
    this.#names = names;
    this.#missing = plan.renditions.map(() => new Map());
    this.#journal = journal;
    this.#options = options;
    this.#connections = new ConnectionLimit(options.connections);
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#signal.addEventListener("abort", () => this.#storedNext.splice(0).forEach((wake) => wake()));
  }

  async run(): Promise<void> {
    const tasks = interleave(this.#plan, this.#names);
    const todo = tasks.filter((task) => !this.#journal.done.has(task.file));
    const report = () => this.#report(tasks.length);
    report();
    let next = 0;
    const worker = async () => {
      while (next < todo.length) {
        await this.#fetchWithRetry(todo[next++]!);
        report();
      }
    };
    const others = Array.from({ length: Math.min(this.#options.connections, todo.length) }, worker);
    if (this.#options.alongside) others.push(this.#options.alongside(this.#inOrder(0)));
    await Promise.all(others.map(async (other) => {
      try {
        await other;
      } catch (error) {
        this.#stop.abort(error); // the first failure is the reason; the others are consequences
      }
    }));
    this.#options.signal.throwIfAborted();
    if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
  }

  /** Uses the current plan: URLs of the first one may have expired. */
  async collect(): Promise<DownloadedRendition[]> {
    return await Promise.all(this.#plan.renditions.map((rendition, r) => this.#collect(rendition, r)));
  }

  async #collect(rendition: PlannedRendition, r: number): Promise<DownloadedRendition> {
    if (rendition.role === "subtitles") return await this.#collectSubtitles(rendition, r);
    const all = rendition.segments.map((_, i) => this.#journal.done.get(this.#fileOf(r, i))!);
    const stored = all.at(-1)!.container === "empty" ? all.slice(0, -1) : all;
    const container = stored[0]!.container as SegmentContainer;
    const other = stored.findIndex((segment) => segment.container !== container);
    if (other !== -1) {
      throw new KeepstreamError("unsupported", `segment ${other + 1} has another format than the first`);
    }
    const segments = rendition.segments.slice(0, stored.length);
    const maps = await Promise.all(segments.map((_, i) => this.#mapOfStored(r, i)));
    const files = stored.map((segment) => this.#journal.path(segment));
    const leftOut: Omission[] = stored.length === all.length
      ? []
      : [{ kind: "segment", code: "empty", detail: `the last segment of ${rendition.role} has no bytes` }];
    return { ...rendition, segments, container, files, maps, leftOut, missing: new Map(), retried: this.#retriedOf(r) };
  }

  #fileOf(r: number, i: number): string {
    return `${this.#names[r]}-${i}`;
  }

  #retriedOf(r: number): ReadonlySet<number> {
    const files = this.#plan.renditions[r]!.segments.map((_, i) => this.#fileOf(r, i));
    return new Set(files.flatMap((file, i) => this.#retried.has(file) ? [i] : []));
  }

  /** The formats of the segments do not matter: each is read on its own. */
  async #collectSubtitles(rendition: PlannedRendition, r: number): Promise<DownloadedRendition> {
    const missing = this.#missing[r]!;
    const stored = rendition.segments.map((_, i) => this.#journal.done.get(this.#fileOf(r, i)));
    const files = stored.map((segment) => segment === undefined ? "" : this.#journal.path(segment));
    const maps = await Promise.all(rendition.segments.map(async (_, i) => {
      return missing.has(i) ? null : await this.#mapOfStored(r, i).catch(() => null); // reported as unreadable
    }));
    return { ...rendition, container: "vtt", files, maps, leftOut: [], missing, retried: new Set() };
  }

  async *#inOrder(r: number): AsyncGenerator<PlacedSegment> {
    for (let i = 0; i < this.#plan.renditions[r]!.segments.length; i++) {
      let stored = this.#journal.done.get(this.#fileOf(r, i));
      for (; stored === undefined; stored = this.#journal.done.get(this.#fileOf(r, i))) await this.#nextStored();
      if (stored.container === "empty") return;
      const map = await this.#mapOfStored(r, i);
      const retried = this.#retried.has(this.#fileOf(r, i));
      yield { path: this.#journal.path(stored), container: stored.container, map, retried };
    }
  }

  /** The init section of a stored segment; the plan's, if an earlier run stored it. */
  async #mapOfStored(r: number, i: number): Promise<string | null> {
    return this.#mapOf.get(this.#fileOf(r, i)) ?? await this.#map(this.#plan.renditions[r]!.segments[i]!, r);
  }

  async #nextStored(): Promise<void> {
    this.#signal.throwIfAborted();
    await new Promise<void>((wake) => this.#storedNext.push(wake));
    this.#signal.throwIfAborted();
  }

  async #fetchWithRetry(task: Task): Promise<void> {
    let failures = 0; // refusals for too many connections do not count
    let generation = 0;
    const fetchOnce = async () => {
      const round = await this.#connections.take(this.#signal);
      generation = this.#generation;
      try {
        this.#connections.onSegment(round, await this.#fetchSegment(task, failures + 1));
      } catch (error) {
        this.#signal.throwIfAborted();
        if (!this.#tooManyConnections(error, round)) {
          failures++;
          this.#retried.add(task.file);
        }
        throw error;
      } finally {
        this.#connections.give(); // no connection is held during the delay
      }
    };
    try {
      await retry(fetchOnce, { ...SEGMENT_FETCH, attempts: Infinity }, {
        signal: this.#signal,
        retryable: (error) => isTransient(error) && failures < this.#attemptsFor(task),
        delayFor: (error) => this.#delayMs(failures, error as KeepstreamError),
        onRetry: async (error) => {
          const expired = (error as KeepstreamError).code === "source_expired";
          if (expired && this.#mayRefresh(task)) await this.#refresh(generation);
        },
      });
    } catch (error) {
      this.#signal.throwIfAborted();
      if (this.#isSubtitles(task) && error instanceof KeepstreamError && error.code !== "disk_full") {
        this.#missing[task.rendition]!.set(task.index, error);
      } else throw this.#describe(error, task);
    }
  }

  #isSubtitles({ rendition }: Task): boolean {
    return this.#plan.renditions[rendition]!.role === "subtitles";
  }

  #attemptsFor(task: Task): number {
    if (!this.#isSubtitles(task)) return SEGMENT_FETCH.attempts;
    return this.#missing[task.rendition]!.size < MAX_RETRIED_GAPS ? SUBTITLE_ATTEMPTS : 1;
  }

  /** A subtitle segment that is gone must not use up the refreshes, which the video may need later. */
  #mayRefresh(task: Task): boolean {
    return !this.#isSubtitles(task) || this.#generation === 0;
  }

  /** Whether the host refused because of the number of connections, which is no failure of the segment. */
  #tooManyConnections(error: unknown, round: number): boolean {
    const refusal = error instanceof KeepstreamError && !(error instanceof DamagedSegment);
    const least = refusal ? LEAST_CONNECTIONS[error.code] : undefined;
    if (least !== undefined) return this.#connections.refused(round, { least });
    this.#connections.failed(round);
    return false;
  }

  /** Adds the segment's name. */
  #describe(error: unknown, task: Task): unknown {
    if (!(error instanceof KeepstreamError)) return error;
    const segment = `segment ${task.index + 1} of ${this.#plan.renditions[task.rendition]!.role}`;
    const code = error instanceof DamagedSegment ? "unsupported" : error.code;
    return new KeepstreamError(code, `${segment}: ${error.message}`, { cause: error });
  }

  #delayMs(failures: number, { retryAfterSeconds = 0 }: KeepstreamError): number {
    const requested = Math.min(retryAfterSeconds * 1000, MAX_SEGMENT_DELAY_MS);
    return Math.max(requested, retryDelay(Math.max(1, failures), SEGMENT_FETCH, this.#options.random));
  }

  async #fetchSegment(task: Task, attempt: number): Promise<Transfer> {
    const { segments } = this.#plan.renditions[task.rendition]!;
    const segment = segments[task.index]!;
    const key = segment.key === null ? null : this.#key(segment.key.url, attempt);
    const map = this.#map(segment, task.rendition, attempt);
    map.catch(() => {}); // awaited below
    const request = { ...this.#request(attempt), ...(this.#options.onBytes ? { onBytes: this.#options.onBytes } : {}) };
    const isText = this.#isSubtitles(task);
    const isLast = task.index > 0 && task.index === segments.length - 1;
    const mayBeEmpty = isLast && segment.durationSeconds <= MAX_EMPTY_SECONDS;
    const body = { key, iv: segmentIv(segment), mayBeEmpty, isText };
    const transfer = await this.#place({ file: task.file, piece: segment, body }, request, async () => {
      this.#mapOf.set(task.file, await map);
    });
    this.#storedNext.splice(0).forEach((wake) => wake());
    return transfer;
  }

  /** From the host through decryption and checks to the disk, block by block. `before` runs before the file is committed. */
  async #place(
    what: { file: string; piece: Piece; body: Omit<SegmentBodyOptions, "write"> },
    request: PieceRequest,
    before: (container: StoredContainer) => Promise<void> | void,
  ): Promise<Transfer> {
    what.body.key?.catch(() => {}); // awaited with the first block
    using output = await this.#journal.begin(what.file).catch(throwDiskFull);
    using body = new SegmentBody({ ...what.body, write: (clear) => output.write(clear).catch(throwDiskFull) });
    const transfer = await streamPiece(what.piece, request, (bytes) => body.push(bytes));
    const container = await body.end();
    await before(container);
    await output.commit(container).catch(throwDiskFull);
    return transfer;
  }

  #request(attempt: number) {
    return { ...this.#options, signal: this.#signal, dropSlow: attempt < SEGMENT_FETCH.attempts - 1 };
  }

  #key(url: string, attempt = 1): Promise<CryptoKey> {
    return shared(this.#keys, url, async () => {
      const request = { ...this.#request(attempt), maxBytes: MAX_KEY_BYTES };
      const bytes = isDataUrl(url) ? await readDataUrl(url) : await fetchPiece({ url, byteRange: null }, request);
      if (bytes.length !== 16) throw new DamagedSegment(`the key has ${bytes.length} bytes instead of 16`);
      return await crypto.subtle.importKey("raw", bytes, "AES-CBC", false, ["decrypt", "encrypt"]);
    });
  }

  /** The file of the init section, fetched once per download. */
  async #map(segment: Segment, r: number, attempt = 1): Promise<string | null> {
    const map = segment.map;
    if (map === null) return null;
    // Queries are left out, because tokens change when a URL expires. So init sections with one path differ in their number.
    const number = this.#mapNumbers(r).get(nameOfMap(map))!;
    const span = map.byteRange;
    const id = `${this.#names[r]} ${number} ${new URL(map.url).pathname} ${
      span ? `${span.offset}+${span.length}` : ""
    }`;
    return await shared(this.#maps, id, async () => {
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(id)));
      const file = `${this.#names[r]}-map-${digest.toHex().slice(0, 16)}`;
      const kept = this.#journal.done.get(file);
      if (kept !== undefined) return this.#journal.path(kept);
      if (map.key !== null && map.key.iv === null) {
        throw new KeepstreamError("unsupported", "an encrypted init section has no IV");
      }
      const key = map.key === null ? null : this.#key(map.key.url, attempt);
      const body = { key, iv: map.key?.iv ?? new Uint8Array(16) };
      await this.#place({ file, piece: map, body }, this.#request(attempt), (container) => {
        if (container !== "fmp4") throw new KeepstreamError("unsupported", "an init section is not an MP4");
      });
      return this.#journal.path(this.#journal.done.get(file)!);
    });
  }

  /** The init sections of a rendition, numbered in their order. */
  #mapNumbers(r: number): ReadonlyMap<string, number> {
    const { segments } = this.#plan.renditions[r]!;
    let numbers = mapNumbers.get(segments);
    if (numbers === undefined) {
      const names = new Set(segments.flatMap(({ map }) => map === null ? [] : [nameOfMap(map)]));
      mapNumbers.set(segments, numbers = new Map([...names].map((name, i) => [name, i])));
    }
    return numbers;
  }

  /** One refresh for all workers whose URLs expired. */
  async #refresh(generation: number): Promise<void> {
    if (generation !== this.#generation) return;
    this.#refreshing ??= (async () => {
      if (this.#generation >= MAX_SOURCE_REFRESHES) return; // the segment itself is missing: its attempts run out
      const fresh = await this.#options.resolveAgain();
      if (!isSamePlan(fresh, this.#plan)) {
        throw new KeepstreamError("source_expired", "the source changed during the download");
      }
      this.#plan = fresh;
      this.#keys.clear();
      this.#generation++;
    })();
    try {
      await this.#refreshing;
    } finally {
      this.#refreshing = null;
    }
  }

  #report(segments: number): void {
    const done = this.#journal.bytes();
    const missing = this.#missing.reduce((sum, gaps) => sum + gaps.size, 0);
    const segmentsDone = Math.min(segments, this.#journal.done.size + missing);
    const total = segmentsDone === 0 ? 0 : Math.round(done * segments / segmentsDone);
    this.#options.onProgress({ done, total, segmentsDone, segments });
  }
}

const mapNumbers = new WeakMap<readonly Segment[], ReadonlyMap<string, number>>();

function nameOfMap({ url, byteRange }: InitSection): string {
  return `${url} ${byteRange?.offset ?? ""}+${byteRange?.length ?? ""}`;
}

/** Interleaves the renditions, so that a failing audio track shows early. */
function interleave(plan: HlsPlan, names: readonly string[]): Task[] {
  const tasks = plan.renditions.flatMap((rendition, r) =>
    rendition.segments.map((_, index) => ({
      rendition: r,
      index,
      file: `${names[r]}-${index}`,
      at: index / rendition.segments.length,
    }))
  );
  return tasks.sort((a, b) => a.at - b.at);
}

function isTransient(error: unknown): boolean {
  return error instanceof KeepstreamError && TRANSIENT.has(error.code);
}

/** One shared call per key; a failure is not cached. */
async function shared<T>(cache: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const kept = cache.get(key);
  if (kept !== undefined) return await kept;
  const made = make();
  cache.set(key, made);
  try {
    return await made;
  } catch (error) {
    cache.delete(key);
    throw error;
  }
}

function throwDiskFull(error: unknown): never {
  const full = error instanceof Error && saysDiskFull(error.message);
  if (full) throw new KeepstreamError("disk_full", "no space left in the work directory", { cause: error });
  throw error;
}
