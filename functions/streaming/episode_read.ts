// One read of an episode's providers. Claims are renewed while it runs. Lists that arrive within the budget are saved in one call;
// later ones are saved one by one. Runs on: Deno, edge runtime.
import { failedList } from "../../sources/collect.ts";
import { createParseBudget, type ParseBudget } from "../../sources/page/parse_budget.ts";
import type { sleep } from "../../core/sleep.ts";
import type { EpisodeRequest } from "../../sources/recipes/recipe.ts";
import type { SourceList } from "../../sources/source_list.ts";
import type { EpisodeKey, EpisodeRecord, EpisodeStore, ListToSave, QueuedVideo } from "./episode_store.ts";
import type { ReadList, SaveLists, Saving } from "./list_saver.ts";

/** Claims last 5 s (CLAIM_SECONDS): two renewals fit in. */
const RENEW_MS = 2_000;
/** Longest wait for another isolate's read; at most half of the budget, to leave time for reading here. */
const MAX_WAIT_MS = 3_000;

export interface SourceRead {
  readonly request: EpisodeRequest;
  /** Another isolate has claimed this read: wait for its result before reading here. */
  readonly claimedByOther?: boolean;
  /** The caller accepts nothing older than a minute. */
  readonly refresh?: boolean;
}

export interface SourceReaderTools {
  /** Reads one provider. Never throws. */
  readonly collect: (request: EpisodeRequest, context: ReadContext) => Promise<ListToSave>;
  readonly store: Pick<EpisodeStore, "readEpisode" | "renewReads">;
  readonly save: SaveLists;
  /** How long a response waits for a provider. */
  readonly budgetMs: (request: EpisodeRequest) => number;
  /** After this, a read that continues in the background is aborted. */
  readonly limitMs: number;
  readonly now: () => number;
  readonly sleep: typeof sleep;
  /** Keeps the isolate alive until the promise settles. */
  readonly background: (work: Promise<unknown>) => void;
}

/** Shared by the providers of one response. */
export interface ReadContext {
  /** Aborts at the limit, not at the end of the budget. */
  readonly signal: AbortSignal;
  readonly parseBudget: ParseBudget;
}

/** Starts when constructed. */
export class EpisodeRead {
  /** The lists that have arrived so far. */
  readonly lists = new Map<string, { readonly list: SourceList; readonly tookMs: number }>();
  /** Resolves when every list has arrived or the budget is used up. */
  readonly response: Promise<{ readonly queue: readonly QueuedVideo[] | null; readonly roundTrips: number }>;
  /** By provider: resolves when its list is read, and saved or discarded. Never rejects. */
  readonly ended: ReadonlyMap<string, Promise<unknown>>;

  readonly #key: EpisodeKey;
  readonly #tools: SourceReaderTools;
  readonly #startedAt: number;
  readonly #parseBudget = createParseBudget();
  readonly #unsaved = new Map<string, ReadList>();
  readonly #inProgress = new Set<string>();
  readonly #saving: Promise<Saving | null>;
  #hasResponded = false;
  #roundTrips = 0;
  #queueOfOthers: readonly QueuedVideo[] | null = null;

  constructor(key: EpisodeKey, reads: readonly SourceRead[], tools: SourceReaderTools) {
    this.#key = key;
    this.#tools = tools;
    this.#startedAt = tools.now();
    const claimed = reads.filter((read) => read.claimedByOther);
    const saved = claimed.length > 0 ? this.#awaitOthers(claimed) : null;
    const running = reads.map((read) => this.#read(read, read.claimedByOther ? saved : null));
    const waits = reads.map(({ request }, index) => withinBudget(running[index]!, tools.budgetMs(request)));
    this.#saving = Promise.all(waits).then(() => this.#saveInTime());
    this.response = this.#saving.then((saving) => this.#respond(saving));
    this.ended = new Map(reads.map(({ request }, index) => {
      const { name } = request.provider;
      return [name, running[index]!.then(() => this.#savedInTime(name))];
    }));
    tools.background(this.#renewClaims(Promise.all(running)));
  }

  /** Settles when the list has arrived; if that is too late for the response, when it is saved or discarded. */
  async #read({ request }: SourceRead, saved: Promise<EpisodeRecord | null> | null): Promise<void> {
    const { name } = request.provider;
    const record = saved === null ? null : await saved;
    const theirs = record && savedList(record, name);
    const beganAt = this.#tools.now();
    const list = theirs ?? await this.#collect(request);
    const arrived = { list, tookMs: this.#tools.now() - this.#startedAt };
    const late = theirs === null && this.#hasResponded
      ? this.#tools.save(this.#key, new Map([[name, { list, beganAt }]]))
      : null;
    await late?.queue;
    this.lists.set(name, arrived);
    if (theirs === null && late === null) this.#unsaved.set(name, { list, beganAt });
    await late?.settled;
  }

  async #collect(request: EpisodeRequest): Promise<ListToSave> {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new DOMException("time limit", "TimeoutError")), this.#tools.limitMs);
    this.#inProgress.add(request.provider.name);
    try {
      return await this.#tools.collect(request, { signal: limit.signal, parseBudget: this.#parseBudget });
    } catch {
      return failedList("network"); // unreachable unless `collect` breaks its contract
    } finally {
      clearTimeout(timer);
      this.#inProgress.delete(request.provider.name);
    }
  }

  /** Reads what other isolates have saved after a wait; null if the database is unavailable. */
  async #awaitOthers(claimed: readonly SourceRead[]): Promise<EpisodeRecord | null> {
    const { budgetMs, sleep, store } = this.#tools;
    const half = Math.min(...claimed.map(({ request }) => budgetMs(request))) / 2;
    await sleep(Math.min(MAX_WAIT_MS, half));
    this.#roundTrips++;
    const refresh = claimed.some((read) => read.refresh);
    const record = await store.readEpisode(this.#key, { client: null, refresh, claim: true }).catch(() => null);
    this.#queueOfOthers = record?.queue ?? null;
    return record;
  }

  async #renewClaims(allRead: Promise<unknown>): Promise<void> {
    const over = new AbortController();
    allRead.then(() => over.abort());
    while (!over.signal.aborted) {
      await this.#tools.sleep(RENEW_MS, over.signal).catch(() => {});
      const names = [...this.#inProgress];
      if (names.length > 0) await this.#tools.store.renewReads(this.#key, names).catch(() => {});
    }
  }

  #saveInTime(): Saving | null {
    this.#hasResponded = true;
    if (this.#unsaved.size === 0) return null;
    this.#roundTrips++;
    return this.#tools.save(this.#key, this.#unsaved);
  }

  async #respond(saving: Saving | null) {
    const queue = await saving?.queue ?? this.#queueOfOthers;
    return { queue, roundTrips: this.#roundTrips };
  }

  async #savedInTime(name: string): Promise<void> {
    if (this.#unsaved.has(name)) await (await this.#saving)?.settled;
  }
}

/** Null if the read is still due, that is, if the other isolate has not saved it. */
function savedList(record: EpisodeRecord, name: string): SourceList | null {
  if (record.source_reads[name] !== undefined) return null;
  return record.source_lists[name] ?? failedList(record.open_circuits[name]?.code ?? "timeout");
}

function withinBudget(work: Promise<unknown>, budgetMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, budgetMs);
    work.then(() => (clearTimeout(timer), resolve()));
  });
}
