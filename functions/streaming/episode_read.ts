// One read of an episode's providers: their claims are renewed while it goes on, what arrives within the budget is saved with one
// call, what arrives later is saved by itself. Runs on: Deno, edge runtime.
import { failedList } from "../../sources/collect.ts";
import { createParseBudget, type ParseBudget } from "../../sources/page/parse_budget.ts";
import type { pause } from "../../sources/fetch/pause.ts";
import type { EpisodeRequest } from "../../sources/recipes/recipe.ts";
import type { SourceList } from "../../sources/source_list.ts";
import type { Episode, EpisodeKey, EpisodeStore, ListToSave, QueuedVideo } from "./episode_store.ts";
import type { ReadList, SaveLists, Saving } from "./list_saver.ts";

/** Twice within the time for which a claim is given. */
const RENEW_MS = 2_000;
/** How long another isolate's read is waited for; at most half of the budget, so that there is time to read it here. */
const MAX_WAIT_MS = 3_000;

export interface Reading {
  readonly request: EpisodeRequest;
  /** Another isolate reads it: given a moment before it is read here, too. */
  readonly elsewhere?: boolean;
  /** The caller wants nothing older than a minute. */
  readonly refresh?: boolean;
}

export interface GatherTools {
  /** Reads one provider. Never throws. */
  readonly collect: (request: EpisodeRequest, flight: Flight) => Promise<ListToSave>;
  readonly store: Pick<EpisodeStore, "readEpisode" | "renewReads">;
  readonly save: SaveLists;
  /** How long an answer waits for a provider. */
  readonly budgetMs: (request: EpisodeRequest) => number;
  /** When a reading that went on in the background is given up. */
  readonly limitMs: number;
  readonly now: () => number;
  readonly pause: typeof pause;
  /** Keeps the isolate alive until the promise settles. */
  readonly background: (work: Promise<unknown>) => void;
}

/** What the providers of one answer share. */
export interface Flight {
  /** Ends the reading for good. */
  readonly signal: AbortSignal;
  readonly parseBudget: ParseBudget;
}

/** Starts as soon as it is made. */
export class EpisodeRead {
  /** What has arrived so far. */
  readonly lists = new Map<string, { readonly list: SourceList; readonly tookMs: number }>();
  /** All of it is there, or the budget is used up. */
  readonly answered: Promise<{ readonly queue: readonly QueuedVideo[] | null; readonly roundTrips: number }>;
  /** By provider: when it is read, and saved or given up. Never rejects. */
  readonly ended: ReadonlyMap<string, Promise<unknown>>;

  readonly #key: EpisodeKey;
  readonly #tools: GatherTools;
  readonly #startedAt: number;
  readonly #parseBudget = createParseBudget();
  readonly #unsaved = new Map<string, ReadList>();
  readonly #beingRead = new Set<string>();
  readonly #saving: Promise<Saving | null>;
  #isAnswered = false;
  #roundTrips = 0;
  #seenQueue: readonly QueuedVideo[] | null = null;

  constructor(key: EpisodeKey, readings: readonly Reading[], tools: GatherTools) {
    this.#key = key;
    this.#tools = tools;
    this.#startedAt = tools.now();
    const elsewhere = readings.filter((reading) => reading.elsewhere);
    const looked = elsewhere.length > 0 ? this.#lookOnce(elsewhere) : null;
    const reads = readings.map((reading) => this.#read(reading, reading.elsewhere ? looked : null));
    const waits = readings.map(({ request }, index) => withinBudget(reads[index]!, tools.budgetMs(request)));
    this.#saving = Promise.all(waits).then(() => this.#saveInTime());
    this.answered = this.#saving.then((saving) => this.#answer(saving));
    this.ended = new Map(readings.map(({ request }, index) => {
      const { name } = request.provider;
      return [name, reads[index]!.then(() => this.#savedInTime(name))];
    }));
    tools.background(this.#renewClaims(Promise.all(reads)));
  }

  /** Settles when the list is there; one that came too late for the answer, when it is saved or given up. */
  async #read({ request }: Reading, looked: Promise<Episode | null> | null): Promise<void> {
    const { name } = request.provider;
    const known = looked === null ? null : await looked;
    const theirs = known && savedList(known, name);
    const beganAt = this.#tools.now();
    const list = theirs ?? await this.#collect(request);
    const arrived = { list, tookMs: this.#tools.now() - this.#startedAt };
    const late = theirs === null && this.#isAnswered
      ? this.#tools.save(this.#key, new Map([[name, { list, beganAt }]]))
      : null;
    await late?.queue;
    this.lists.set(name, arrived);
    if (theirs === null && late === null) this.#unsaved.set(name, { list, beganAt });
    await late?.settled;
  }

  async #collect(request: EpisodeRequest): Promise<ListToSave> {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new DOMException("given up", "TimeoutError")), this.#tools.limitMs);
    this.#beingRead.add(request.provider.name);
    try {
      return await this.#tools.collect(request, { signal: limit.signal, parseBudget: this.#parseBudget });
    } catch {
      return failedList("network"); // it never throws
    } finally {
      clearTimeout(timer);
      this.#beingRead.delete(request.provider.name);
    }
  }

  /** What other isolates have saved after a moment; null when the database does not answer. */
  async #lookOnce(elsewhere: readonly Reading[]): Promise<Episode | null> {
    const { budgetMs, pause, store } = this.#tools;
    const half = Math.min(...elsewhere.map(({ request }) => budgetMs(request))) / 2;
    await pause(Math.min(MAX_WAIT_MS, half), new AbortController().signal);
    this.#roundTrips++;
    const refresh = elsewhere.some((reading) => reading.refresh);
    const known = await store.readEpisode(this.#key, { client: null, refresh, claim: true }).catch(() => null);
    this.#seenQueue = known?.queue ?? null;
    return known;
  }

  async #renewClaims(allRead: Promise<unknown>): Promise<void> {
    const over = new AbortController();
    allRead.then(() => over.abort());
    while (!over.signal.aborted) {
      await this.#tools.pause(RENEW_MS, over.signal).catch(() => {});
      const names = [...this.#beingRead];
      if (names.length > 0) await this.#tools.store.renewReads(this.#key, names).catch(() => {});
    }
  }

  #saveInTime(): Saving | null {
    this.#isAnswered = true;
    if (this.#unsaved.size === 0) return null;
    this.#roundTrips++;
    return this.#tools.save(this.#key, this.#unsaved);
  }

  async #answer(saving: Saving | null) {
    const queue = await saving?.queue ?? this.#seenQueue;
    return { queue, roundTrips: this.#roundTrips };
  }

  async #savedInTime(name: string): Promise<void> {
    if (this.#unsaved.has(name)) await (await this.#saving)?.settled;
  }
}

/** Null while it is still due: the other isolate has not saved it. */
function savedList(known: Episode, name: string): SourceList | null {
  if (known.source_reads[name] !== undefined) return null;
  return known.source_lists[name] ?? failedList(known.open_circuits[name]?.code ?? "timeout");
}

function withinBudget(work: Promise<unknown>, budgetMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, budgetMs);
    work.then(() => (clearTimeout(timer), resolve()));
  });
}
