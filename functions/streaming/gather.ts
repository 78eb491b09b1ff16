// Source lists that are not in the cache: read from the providers once however many ask, in this isolate or another, answered
// within a budget, finished in the background, saved with one call. Runs on: Deno, edge runtime.
import type { EpisodeRequest } from "../../sources/providers/recipe.ts";
import { failedList } from "../../sources/collect.ts";
import { createParseBudget, type ParseBudget } from "../../sources/parse_budget.ts";
import { pause } from "../../sources/pause.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { type EpisodeKey, type EpisodeStore, type ListToSave, type QueuedVideo, StoreError } from "./episode_store.ts";

const FOLLOW_MS = 150;

export interface Gathered {
  /** Lists that arrived within the budget; the others are still being read. */
  readonly lists: ReadonlyMap<string, { readonly list: SourceList; readonly tookMs: number }>;
  /** The queue after they were saved, null when saving failed or nothing was saved. */
  readonly queue: readonly QueuedVideo[] | null;
  /** Calls of the database it took. */
  readonly roundTrips: number;
}

export interface Reading {
  readonly request: EpisodeRequest;
  /** Another isolate reads it: its list is waited for in the database. */
  readonly elsewhere?: boolean;
  /** The caller wants nothing older than a minute. */
  readonly refresh?: boolean;
}

/** What another isolate's reading has come to; `ours`: it has ended without a list, and is this isolate's to do. */
export type Seen =
  | { readonly kind: "list"; readonly list: SourceList; readonly queue: readonly QueuedVideo[] }
  | { readonly kind: "elsewhere" | "ours" };

export interface GatherTools {
  /** Reads one provider. Never throws. */
  readonly collect: (request: EpisodeRequest, flight: Flight) => Promise<ListToSave>;
  readonly look: (reading: Reading) => Promise<Seen>;
  readonly store: EpisodeStore;
  /** When a list is worth another look. */
  readonly dueSeconds: (list: SourceList) => number;
  /** How long an answer waits for a provider. */
  readonly budgetMs: (request: EpisodeRequest) => number;
  /** When a reading that went on in the background is given up. */
  readonly limitMs: number;
  readonly now: () => number;
  /** Keeps the isolate alive until the promise settles. */
  readonly background: (work: Promise<unknown>) => void;
  readonly onError: (event: "sources:save:failed", error: unknown) => void;
}

/** What the providers of one answer share. */
export interface Flight {
  /** Ends the reading for good. */
  readonly signal: AbortSignal;
  readonly parseBudget: ParseBudget;
}

export interface Gatherer {
  /** Starts what is not under way, joins what is, and resolves when all of it is there or the budget is used up. */
  gather(key: EpisodeKey, readings: readonly Reading[]): Promise<Gathered>;
}

export function createGatherer(tools: GatherTools): Gatherer {
  const flights = new Map<string, Promise<Gathered>>();

  function start(key: EpisodeKey, readings: readonly Reading[]): Promise<Gathered> {
    const names = readings.map((reading) => flightName(key, reading));
    const flight = fly(key, readings, tools);
    for (const name of names) flights.set(name, flight.first);
    const done = flight.all.finally(() => names.forEach((name) => flights.delete(name)));
    tools.background(done);
    return flight.first;
  }

  return {
    async gather(key, readings) {
      const joined = readings.flatMap((reading) => flights.get(flightName(key, reading)) ?? []);
      const missing = readings.filter((reading) => !flights.has(flightName(key, reading)));
      const started = missing.length > 0 ? [start(key, missing)] : [];
      const results = await Promise.all([...new Set([...joined, ...started])]);
      return {
        lists: new Map(results.flatMap((result) => [...result.lists])),
        queue: results.findLast((result) => result.queue !== null)?.queue ?? null,
        roundTrips: results.reduce((sum, result) => sum + result.roundTrips, 0),
      };
    },
  };
}

/** What another isolate's reading has come to, as the database knows it. */
export async function lookAgain({ request, refresh = false }: Reading, store: EpisodeStore): Promise<Seen> {
  const { name } = request.provider;
  const known = await store.readEpisode(request, { client: null, refresh });
  const claimed = known.readings[name];
  if (claimed !== undefined) return { kind: claimed ? "ours" : "elsewhere" };
  return { kind: "list", list: known.source_lists[name] ?? failedList("timeout"), queue: known.queue };
}

function flightName({ malId, episode }: EpisodeKey, { request }: Reading): string {
  return `${malId}/${episode}/${request.provider.name}`;
}

function fly(key: EpisodeKey, readings: readonly Reading[], tools: GatherTools) {
  const startedAt = tools.now();
  const lists = new Map<string, { list: SourceList; tookMs: number }>();
  const own: Record<string, ListToSave> = {};
  const limit = new AbortController();
  const limitTimer = setTimeout(() => limit.abort(new DOMException("given up", "TimeoutError")), tools.limitMs);
  const flight = { signal: limit.signal, parseBudget: createParseBudget() };
  let budgetUsed = false;
  let roundTrips = 0;
  let seenQueue: readonly QueuedVideo[] | null = null;
  const late: Promise<unknown>[] = [];

  /** The list another isolate has saved, or null where it is to be read here. */
  async function followed(reading: Reading): Promise<SourceList | null> {
    for (;;) {
      await pause(FOLLOW_MS, flight.signal);
      if (budgetUsed) return failedList("timeout"); // nobody waits any more, and the other isolate saves what it reads
      roundTrips++;
      const seen = await tools.look(reading);
      if (seen.kind === "ours") return null;
      if (seen.kind === "list") {
        seenQueue = seen.queue;
        return seen.list;
      }
    }
  }

  async function read(reading: Reading): Promise<void> {
    const { name } = reading.request.provider;
    const theirs = reading.elsewhere ? await followed(reading).catch(() => failedList("timeout")) : null;
    const list = theirs ?? await tools.collect(reading.request, flight).catch(() => failedList("network"));
    if (theirs === null && budgetUsed) late.push(save({ [name]: list }));
    if (budgetUsed) return;
    if (theirs === null) own[name] = list;
    lists.set(name, { list, tookMs: tools.now() - startedAt });
  }

  async function save(found: Readonly<Record<string, ListToSave>>): Promise<readonly QueuedVideo[] | null> {
    const each = Object.entries(found);
    if (each.length === 0) return null;
    roundTrips++;
    try {
      const due = each.map(([name, list]) => [name, { ...list, due_seconds: tools.dueSeconds(list) }]);
      return await tools.store.saveSources(key, Object.fromEntries(due));
    } catch (error) {
      tools.onError("sources:save:failed", error); // the viewer is answered all the same
      if (each.length === 1 || !(error instanceof StoreError && error.refused)) return null;
      // One provider's list that is refused must not cost the others theirs.
      let queue: readonly QueuedVideo[] | null = null;
      for (const [name, list] of each) queue = await save({ [name]: list }) ?? queue;
      return queue;
    }
  }

  const reads = readings.map(read);
  const waits = readings.map(({ request }, index) => withinBudget(reads[index]!, tools.budgetMs(request)));
  const first = Promise.all(waits).then(async () => {
    budgetUsed = true;
    const queue = await save(own) ?? seenQueue;
    return { lists: new Map(lists), queue, roundTrips };
  });
  const all = Promise.all([first, ...reads]).then(() => Promise.all(late)).finally(() => clearTimeout(limitTimer));
  return { first, all };
}

function withinBudget(work: Promise<unknown>, budgetMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, budgetMs);
    work.then(() => (clearTimeout(timer), resolve()));
  });
}
