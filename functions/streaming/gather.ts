// Source lists that are not in the cache: read from the providers once however many ask, answered within a budget, finished
// in the background, saved with one call. Runs on: Deno, edge runtime.
import { type EpisodeRequest } from "../../sources/providers/recipe.ts";
import { failedList } from "../../sources/collect.ts";
import { createParseBudget, type ParseBudget } from "../../sources/parse_budget.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { type EpisodeKey, type EpisodeStore, type QueuedVideo, StoreError } from "./episode_store.ts";

export interface Gathered {
  /** Lists that arrived within the budget; the others are still being read. */
  readonly lists: ReadonlyMap<string, { readonly list: SourceList; readonly tookMs: number }>;
  /** The queue after they were saved, null when saving failed or nothing was saved. */
  readonly queue: readonly QueuedVideo[] | null;
}

export interface GatherTools {
  /** Reads one provider. Never throws. */
  readonly collect: (request: EpisodeRequest, flight: Flight) => Promise<SourceList>;
  readonly store: EpisodeStore;
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
  gather(key: EpisodeKey, requests: readonly EpisodeRequest[]): Promise<Gathered>;
}

export function createGatherer(tools: GatherTools): Gatherer {
  const flights = new Map<string, Promise<Gathered>>();

  function start(key: EpisodeKey, requests: readonly EpisodeRequest[]): Promise<Gathered> {
    const names = requests.map((request) => flightName(key, request));
    const flight = fly(key, requests, tools);
    for (const name of names) flights.set(name, flight.first);
    const done = flight.all.finally(() => names.forEach((name) => flights.delete(name)));
    tools.background(done);
    return flight.first;
  }

  return {
    async gather(key, requests) {
      const joined = requests.flatMap((request) => flights.get(flightName(key, request)) ?? []);
      const missing = requests.filter((request) => !flights.has(flightName(key, request)));
      const started = missing.length > 0 ? [start(key, missing)] : [];
      const results = await Promise.all([...new Set([...joined, ...started])]);
      return {
        lists: new Map(results.flatMap((result) => [...result.lists])),
        queue: results.findLast((result) => result.queue !== null)?.queue ?? null,
      };
    },
  };
}

function flightName({ malId, episode }: EpisodeKey, { provider }: EpisodeRequest): string {
  return `${malId}/${episode}/${provider.name}`;
}

function fly(key: EpisodeKey, requests: readonly EpisodeRequest[], tools: GatherTools) {
  const startedAt = tools.now();
  const lists = new Map<string, { list: SourceList; tookMs: number }>();
  const limit = new AbortController();
  const limitTimer = setTimeout(() => limit.abort(new DOMException("given up", "TimeoutError")), tools.limitMs);
  const flight = { signal: limit.signal, parseBudget: createParseBudget() };
  let budgetUsed = false;
  const late: Promise<unknown>[] = [];

  const readings = requests.map(async (request) => {
    const list = await tools.collect(request, flight).catch(() => failedList("network"));
    if (budgetUsed) late.push(save({ [request.provider.name]: list }));
    else lists.set(request.provider.name, { list, tookMs: tools.now() - startedAt });
  });
  const waits = requests.map((request, index) => withinBudget(readings[index]!, tools.budgetMs(request)));

  async function save(found: Readonly<Record<string, SourceList>>): Promise<readonly QueuedVideo[] | null> {
    if (Object.keys(found).length === 0) return null;
    try {
      return await tools.store.saveSources(key, found);
    } catch (error) {
      tools.onError("sources:save:failed", error); // the viewer is answered all the same
      const each = Object.entries(found);
      if (each.length === 1 || !(error instanceof StoreError && error.refused)) return null;
      // One provider's list that is refused must not cost the others theirs.
      let queue: readonly QueuedVideo[] | null = null;
      for (const [name, list] of each) queue = await save({ [name]: list }) ?? queue;
      return queue;
    }
  }

  const first = Promise.all(waits).then(async () => {
    budgetUsed = true;
    const arrived = new Map(lists);
    const found = Object.fromEntries([...arrived].map(([name, { list }]) => [name, list]));
    return { lists: arrived, queue: await save(found) };
  });
  const all = Promise.all([first, ...readings]).then(() => Promise.all(late)).finally(() => clearTimeout(limitTimer));
  return { first, all };
}

function withinBudget(work: Promise<unknown>, budgetMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, budgetMs);
    work.then(() => (clearTimeout(timer), resolve()));
  });
}
