/**
 * Downloads every segment of a plan in parallel: journalled, retried with jitter, decrypted, checked; an address that expired on the
 * way is resolved again and the download goes on by position. Example: `await downloadHls(plan, { dir, connections: 32, … })`.
 * Runs on: Deno.
 */
import { type ErrorClass, KeepstreamError } from "../../core/errors.ts";
import { saysDiskFull } from "../work_dir/disk_full_text.ts";
import { type Segment, segmentIv } from "../../core/hls/playlist.ts";
import type { MediaRequest } from "../network/guarded_fetch.ts";
import type { HlsPlan, PlannedRendition } from "./hls_plan.ts";
import { ConnectionLimit } from "./connection_limit.ts";
import { DamagedSegment, SegmentBody, type SegmentBodyOptions, type SegmentContainer } from "./segment_body.ts";
import { fetchPiece, type Piece, streamPiece, type Transfer } from "./segment_fetch.ts";
import { openSegmentJournal, type SegmentJournal } from "./segment_journal.ts";

const TRIES = 5;
const RETRY_BASE_MS = 300;
const MAX_KEY_BYTES = 1 << 20;
const MAX_REFRESHES = 3;
/** Codes that another try may cure. */
const TRANSIENT = new Set(["network", "timeout", "upstream_5xx", "rate_limited", "source_expired"]);

/** Codes of a host that bears fewer connections, of itself or of what stands before it, and how few; a line may break by chance. */
const LEAST_CONNECTIONS: Readonly<Partial<Record<ErrorClass, number>>> = {
  network: 4,
  upstream_5xx: 1,
  rate_limited: 1,
};

export type DownloadedRendition = PlannedRendition & {
  readonly container: SegmentContainer;
  /** One file per segment, in order. */
  readonly files: readonly string[];
  /** Init section of each segment; null for MPEG-TS. */
  readonly maps: readonly (string | null)[];
};

/** A segment on disk, clear and checked. */
export type PlacedSegment = {
  readonly path: string;
  readonly container: SegmentContainer;
  /** Its init section; null for MPEG-TS. */
  readonly map: string | null;
};

export type HlsDownloadOptions = MediaRequest & {
  readonly dir: string;
  /** At most; it begins with half of them. */
  readonly connections: number;
  /** Resolves the source again and plans it anew; called when addresses have expired. */
  readonly planAgain: () => Promise<HlsPlan>;
  /** Bytes on disk, estimated bytes in all, segments done and in all. */
  readonly onProgress: (progress: { done: number; total: number; segmentsDone: number; segments: number }) => void;
  readonly onBytes?: (bytes: number) => void;
  /** Runs beside the download with the first rendition's segments, each as soon as all before it are on disk; its failure ends both. */
  readonly alongside?: ((segments: AsyncIterable<PlacedSegment>) => Promise<void>) | undefined;
  readonly random?: () => number;
};

type PieceRequest = Parameters<typeof streamPiece>[1];
type Task = { readonly rendition: number; readonly index: number; readonly file: string };

export async function downloadHls(plan: HlsPlan, options: HlsDownloadOptions): Promise<DownloadedRendition[]> {
  await using journal = await openSegmentJournal(options.dir, plan);
  const download = new HlsDownload(plan, journal, options);
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
  /** By segment, what it was fetched with: a refreshed plan may name another. */
  readonly #mapOf = new Map<string, string | null>();
  readonly #journal: SegmentJournal;
  readonly #options: HlsDownloadOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;

  constructor(plan: HlsPlan, journal: SegmentJournal, options: HlsDownloadOptions) {
    this.#plan = plan;
    this.#journal = journal;
    this.#options = options;
    this.#connections = new ConnectionLimit(options.connections);
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#signal.addEventListener("abort", () => this.#storedNext.splice(0).forEach((wake) => wake()));
  }

  async run(): Promise<void> {
    const tasks = interleave(this.#plan);
    const todo = tasks.filter((task) => !this.#journal.done.has(task.file));
    const report = () => this.#report(tasks.length);
    report();
    let next = 0;
    const worker = async () => {
      while (next < todo.length) {
        await this.#fetchWithTries(todo[next++]!);
        report();
      }
    };
    const others = Array.from({ length: Math.min(this.#options.connections, todo.length) }, worker);
    if (this.#options.alongside) others.push(this.#options.alongside(this.#inOrder(0)));
    await Promise.all(others.map(async (other) => {
      try {
        await other;
      } catch (error) {
        this.#stop.abort(error); // the first failure is the reason; the others only follow
      }
    }));
    this.#options.signal.throwIfAborted();
    if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
  }

  /** By the plan as it is now: the addresses of the first one may have expired. */
  async collect(): Promise<DownloadedRendition[]> {
    return await Promise.all(this.#plan.renditions.map((rendition, r) => this.#collect(rendition, r)));
  }

  async #collect(rendition: PlannedRendition, r: number): Promise<DownloadedRendition> {
    const stored = rendition.segments.map((_, i) => this.#journal.done.get(`${r}-${i}`)!);
    const container = stored[0]!.container;
    const other = stored.findIndex((segment) => segment.container !== container);
    if (other !== -1) {
      throw new KeepstreamError("unsupported", `segment ${other + 1} is of another format than the first`);
    }
    const maps = await Promise.all(rendition.segments.map((_, i) => this.#mapBehind(r, i)));
    const files = stored.map((segment) => this.#journal.path(segment));
    return { ...rendition, container, files, maps };
  }

  async *#inOrder(r: number): AsyncGenerator<PlacedSegment> {
    for (let i = 0; i < this.#plan.renditions[r]!.segments.length; i++) {
      let stored = this.#journal.done.get(`${r}-${i}`);
      for (; stored === undefined; stored = this.#journal.done.get(`${r}-${i}`)) await this.#nextStored();
      const map = await this.#mapBehind(r, i);
      yield { path: this.#journal.path(stored), container: stored.container, map };
    }
  }

  /** The init section that a stored segment came with; of one that an earlier run stored, the plan's. */
  async #mapBehind(r: number, i: number): Promise<string | null> {
    return this.#mapOf.get(`${r}-${i}`) ?? await this.#map(this.#plan.renditions[r]!.segments[i]!);
  }

  async #nextStored(): Promise<void> {
    this.#signal.throwIfAborted();
    await new Promise<void>((wake) => this.#storedNext.push(wake));
    this.#signal.throwIfAborted();
  }

  async #fetchWithTries(task: Task): Promise<void> {
    for (let attempt = 1;; attempt++) {
      const round = await this.#connections.take(this.#signal);
      const generation = this.#generation;
      let failure: KeepstreamError;
      try {
        this.#connections.came(round, await this.#fetchSegment(task, attempt));
        return;
      } catch (error) {
        this.#signal.throwIfAborted();
        if (this.#tooMany(error, round)) attempt--;
        failure = this.#judge(error, task, attempt);
      } finally {
        this.#connections.give(); // who pauses holds no connection
      }
      if (failure.code === "source_expired") await this.#refresh(generation);
      await this.#pause(attempt, failure);
    }
  }

  /** Whether it was asked for over more connections than the host bears, as is known now: that is no fault of the segment. */
  #tooMany(error: unknown, round: number): boolean {
    const refusal = error instanceof KeepstreamError && !(error instanceof DamagedSegment);
    const least = refusal ? LEAST_CONNECTIONS[error.code] : undefined;
    if (least !== undefined) return this.#connections.refused(round, { least });
    this.#connections.failed(round);
    return false;
  }

  /** The error, where another try may cure it; throws it with the segment's name where none will. */
  #judge(error: unknown, task: Task, attempt: number): KeepstreamError {
    if (!(error instanceof KeepstreamError)) throw error;
    if (TRANSIENT.has(error.code) && attempt < TRIES) return error;
    const place = `segment ${task.index + 1} of ${this.#plan.renditions[task.rendition]!.role}`;
    const code = error instanceof DamagedSegment ? "unsupported" : error.code;
    throw new KeepstreamError(code, `${place}: ${error.message}`, { cause: error });
  }

  async #fetchSegment(task: Task, attempt: number): Promise<Transfer> {
    const segment = this.#plan.renditions[task.rendition]!.segments[task.index]!;
    const key = segment.key === null ? null : this.#key(segment.key.url, attempt);
    const map = this.#map(segment, attempt);
    map.catch(() => {}); // met below
    const request = { ...this.#request(attempt), ...(this.#options.onBytes ? { onBytes: this.#options.onBytes } : {}) };
    const body = { key, iv: segmentIv(segment), durationSeconds: segment.durationSeconds };
    const transfer = await this.#place({ file: task.file, piece: segment, body }, request, async () => {
      this.#mapOf.set(task.file, await map);
    });
    this.#storedNext.splice(0).forEach((wake) => wake());
    return transfer;
  }

  /** From the host through decryption and checks to the disk, a block at a time. `before` what is whole is taken over. */
  async #place(
    what: { file: string; piece: Piece; body: Omit<SegmentBodyOptions, "write"> },
    request: PieceRequest,
    before: (container: SegmentContainer) => Promise<void> | void,
  ): Promise<Transfer> {
    what.body.key?.catch(() => {}); // met when the first block is there
    using output = await this.#journal.begin(what.file).catch(throwDiskFull);
    using body = new SegmentBody({ ...what.body, write: (clear) => output.write(clear).catch(throwDiskFull) });
    const transfer = await streamPiece(what.piece, request, (bytes) => body.push(bytes));
    const container = await body.end();
    await before(container);
    await output.commit(container).catch(throwDiskFull);
    return transfer;
  }

  #request(attempt: number) {
    return { ...this.#options, signal: this.#signal, dropSlow: attempt < TRIES - 1 };
  }

  #key(url: string, attempt = 1): Promise<CryptoKey> {
    return once(this.#keys, url, async () => {
      const request = { ...this.#request(attempt), maxBytes: MAX_KEY_BYTES };
      const bytes = await fetchPiece({ url, byteRange: null }, request);
      if (bytes.length !== 16) throw new DamagedSegment(`the key has ${bytes.length} bytes instead of 16`);
      return await crypto.subtle.importKey("raw", bytes, "AES-CBC", false, ["decrypt", "encrypt"]);
    });
  }

  /** The init section's file, fetched once however many segments name it. */
  async #map(segment: Segment, attempt = 1): Promise<string | null> {
    const map = segment.map;
    if (map === null) return null;
    const span = map.byteRange;
    const id = `${new URL(map.url).pathname} ${span ? `${span.offset}+${span.length}` : ""}`;
    return await once(this.#maps, id, async () => {
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(id)));
      const file = `map-${digest.toHex().slice(0, 16)}`;
      const kept = this.#journal.done.get(file);
      if (kept !== undefined) return this.#journal.path(kept);
      if (map.key !== null && map.key.iv === null) {
        throw new KeepstreamError("unsupported", "an encrypted init section without IV");
      }
      const key = map.key === null ? null : this.#key(map.key.url, attempt);
      const body = { key, iv: map.key?.iv ?? new Uint8Array(16), durationSeconds: 0 };
      await this.#place({ file, piece: map, body }, this.#request(attempt), (container) => {
        if (container !== "fmp4") throw new KeepstreamError("unsupported", "an init section that is no MP4");
      });
      return this.#journal.path(this.#journal.done.get(file)!);
    });
  }

  /** One refresh for all workers that met the same expired generation. */
  async #refresh(generation: number): Promise<void> {
    if (generation !== this.#generation) return;
    this.#refreshing ??= (async () => {
      if (this.#generation >= MAX_REFRESHES) return; // the segment itself is gone: let the tries run out
      const fresh = await this.#options.planAgain();
      const same = fresh.renditions.length === this.#plan.renditions.length &&
        fresh.renditions.every((r, i) => timelineOf(r) === timelineOf(this.#plan.renditions[i]!));
      if (!same) throw new KeepstreamError("source_expired", "the source changed while it was downloaded");
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

  async #pause(attempt: number, error: unknown): Promise<void> {
    const random = this.#options.random ?? Math.random;
    const asked = error instanceof KeepstreamError ? Math.min((error.retryAfterSeconds ?? 0) * 1000, 10_000) : 0;
    const ms = Math.max(asked, RETRY_BASE_MS * 2 ** Math.max(0, attempt - 1) * (0.5 + random()));
    await new Promise<void>((done) => {
      const finish = () => {
        clearTimeout(timer);
        this.#signal.removeEventListener("abort", finish);
        done();
      };
      const timer = setTimeout(finish, ms);
      this.#signal.addEventListener("abort", finish);
    });
    this.#signal.throwIfAborted();
  }

  #report(segments: number): void {
    const done = this.#journal.bytes();
    const segmentsDone = Math.min(segments, this.#journal.done.size);
    const total = segmentsDone === 0 ? 0 : Math.round(done * segments / segmentsDone);
    this.#options.onProgress({ done, total, segmentsDone, segments });
  }
}

/** All renditions advance together, so that a failing audio track shows early. */
function interleave(plan: HlsPlan): Task[] {
  const tasks = plan.renditions.flatMap((rendition, r) =>
    rendition.segments.map((_, index) => ({
      rendition: r,
      index,
      file: `${r}-${index}`,
      at: index / rendition.segments.length,
    }))
  );
  return tasks.sort((a, b) => a.at - b.at);
}

/** Where the cuts are: another encoding of the same video rarely has the same. */
function timelineOf({ segments }: PlannedRendition): string {
  return segments.map(({ durationSeconds }) => durationSeconds).join(" ");
}

async function once<T>(cache: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const kept = cache.get(key);
  if (kept !== undefined) return await kept;
  const made = make();
  cache.set(key, made);
  try {
    return await made;
  } catch (error) {
    cache.delete(key); // a failure is not an answer: the next try asks again
    throw error;
  }
}

function throwDiskFull(error: unknown): never {
  const full = error instanceof Error && saysDiskFull(error.message);
  if (full) throw new KeepstreamError("disk_full", "no space left in the work directory", { cause: error });
  throw error;
}
