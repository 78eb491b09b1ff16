// Source lists that are not in the cache: read from the providers once however many ask, in this isolate or another, answered
// within a budget, finished in the background, saved with one call. Runs on: Deno, edge runtime.
import type { EpisodeRequest } from "../../sources/providers/recipe.ts";
import { failedList } from "../../sources/collect.ts";
import { createParseBudget, type ParseBudget } from "../../sources/parse_budget.ts";
import { pause } from "../../sources/pause.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { episodeRequest } from "./episode_request.ts";
import { type EpisodeKey, type EpisodeStore, type ListToSave, type QueuedVideo, StoreError } from "./episode_store.ts";

const FIRST_LOOK_MS = 150;
const MAX_LOOK_MS = 2_000;

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

export interface GatherTools {
  /** Reads one provider. Never throws. */
  readonly collect: (request: EpisodeRequest, flight: Flight) => Promise<ListToSave>;
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

interface Flying {
  /** What has arrived within the budget. */
  readonly first: Promise<Gathered>;
  /** The claim of a provider that is waited for in the database is this isolate's now: it is read here. */
  takeOver(provider: string): void;
  /** By provider: when it is read and saved. Never rejects. */
  readonly ended: ReadonlyMap<string, Promise<unknown>>;
}

export function createGatherer(tools: GatherTools): Gatherer {
  const flights = new Map<string, Flying>();

  function start(key: EpisodeKey, readings: readonly Reading[]): Flying {
    const flying = fly(key, readings, { ...tools, claimed: (request) => void read(key, { request }) });
    for (const [provider, ended] of flying.ended) {
      const name = flightName(key, provider);
      flights.set(name, flying);
      tools.background(ended.then(() => flights.delete(name)));
    }
    return flying;
  }

  /** A claim is given once, and whoever waits for another isolate's reading is told of it. */
  function read(key: EpisodeKey, reading: Reading): Flying {
    const provider = reading.request.provider.name;
    const flying = flights.get(flightName(key, provider));
    if (!reading.elsewhere) flying?.takeOver(provider);
    return flying ?? start(key, [reading]);
  }

  return {
    async gather(key, readings) {
      const missing = readings.filter(({ request }) => !flights.has(flightName(key, request.provider.name)));
      if (missing.length > 0) start(key, missing);
      const joined = new Set(readings.map((reading) => read(key, reading).first));
      const results = await Promise.all(joined);
      return {
        lists: new Map(results.flatMap((result) => [...result.lists])),
        queue: results.findLast((result) => result.queue !== null)?.queue ?? null,
        roundTrips: results.reduce((sum, result) => sum + result.roundTrips, 0),
      };
    },
  };
}

function flightName({ malId, episode }: EpisodeKey, provider: string): string {
  return `${malId}/${episode}/${provider}`;
}

interface FlyTools extends GatherTools {
  /** A look has claimed this reading for this isolate. */
  readonly claimed: (request: EpisodeRequest) => void;
}

function fly(key: EpisodeKey, readings: readonly Reading[], tools: FlyTools): Flying {
  const startedAt = tools.now();
  const lists = new Map<string, { list: SourceList; tookMs: number }>();
  const own: Record<string, ListToSave> = {};
  const parseBudget = createParseBudget();
  const answered = new AbortController();
  let roundTrips = 0;
  let seenQueue: readonly QueuedVideo[] | null = null;
  const followed = readings.filter(({ elsewhere }) => elsewhere);
  const followers = new Map(
    followed.map(({ request }) => [request.provider.name, Promise.withResolvers<SourceList | null>()]),
  );

  /** Ends the wait for a provider: with the list another isolate has saved, or null where it is to be read here. */
  function settle(provider: string, list: SourceList | null): void {
    followers.get(provider)?.resolve(list);
    followers.delete(provider);
  }

  /** Looks whether others have saved what they read, until nobody waits any more. A look claims all that is due. */
  async function follow(): Promise<void> {
    const refresh = followed.some((reading) => reading.refresh);
    for (let waitMs = FIRST_LOOK_MS; followers.size > 0; waitMs = Math.min(waitMs * 1.5, MAX_LOOK_MS)) {
      await pause(waitMs, answered.signal);
      if (followers.size === 0) return;
      roundTrips++;
      const known = await tools.store.readEpisode(key, { client: null, refresh });
      for (const provider of known.providers) {
        if (known.readings[provider.name]) tools.claimed(episodeRequest(key, provider, known));
      }
      for (const name of followers.keys()) {
        if (known.readings[name] !== undefined) continue;
        seenQueue = known.queue;
        settle(name, known.source_lists[name] ?? failedList("timeout"));
      }
    }
  }

  async function collect(request: EpisodeRequest): Promise<ListToSave> {
    const limit = new AbortController();
    const timer = setTimeout(() => limit.abort(new DOMException("given up", "TimeoutError")), tools.limitMs);
    try {
      return await tools.collect(request, { signal: limit.signal, parseBudget });
    } catch {
      return failedList("network"); // it never throws
    } finally {
      clearTimeout(timer);
    }
  }

  async function read({ request }: Reading): Promise<void> {
    const { name } = request.provider;
    const follower = followers.get(name);
    const theirs = follower ? await follower.promise : null;
    const list = theirs ?? await collect(request);
    if (answered.signal.aborted) return void (theirs === null && await save({ [name]: list }));
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
    answered.abort();
    const queue = await save(own) ?? seenQueue;
    return { lists: new Map(lists), queue, roundTrips };
  });
  // Without an answer of the database, or once nobody waits: the other isolate saves what it reads.
  const abandon = () => [...followers.keys()].forEach((provider) => settle(provider, failedList("timeout")));
  tools.background(follow().catch(abandon));
  const ended = new Map(readings.map(({ request: { provider: { name } } }, index) => {
    return [name, reads[index]!.then(() => Object.hasOwn(own, name) ? first : null)];
  }));
  return { first, takeOver: (provider) => settle(provider, null), ended };
}

function withinBudget(work: Promise<unknown>, budgetMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, budgetMs);
    work.then(() => (clearTimeout(timer), resolve()));
  });
}
