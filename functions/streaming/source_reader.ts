// Source lists that are not in the cache: each provider is read once however many ask in this isolate, answered within a budget,
// finished in the background, saved with one call. Runs on: Deno, edge runtime.
import type { SourceList } from "../../sources/source_list.ts";
import { EpisodeRead, type GatherTools, type Reading } from "./episode_read.ts";
import type { EpisodeKey, QueuedVideo } from "./episode_store.ts";

export interface Gathered {
  /** Lists that are there; the others are still being read. */
  readonly lists: ReadonlyMap<string, { readonly list: SourceList; readonly tookMs: number }>;
  /** The queue after they were saved, null when saving failed or nothing was saved. */
  readonly queue: readonly QueuedVideo[] | null;
  /** Calls of the database it took. */
  readonly roundTrips: number;
}

export interface Gatherer {
  /** Starts what is not under way, joins what is, and resolves when all of it is there or the budget is used up. */
  gather(key: EpisodeKey, readings: readonly Reading[]): Promise<Gathered>;
}

export function createGatherer(tools: GatherTools): Gatherer {
  const underWay = new Map<string, EpisodeRead>();

  function start(key: EpisodeKey, readings: readonly Reading[]): EpisodeRead {
    const read = new EpisodeRead(key, readings, tools);
    for (const [provider, ended] of read.ended) {
      const name = nameOf(key, provider);
      underWay.set(name, read);
      tools.background(ended.then(() => underWay.delete(name)));
    }
    return read;
  }

  return {
    async gather(key, readings) {
      const known = readings.map(({ request }) => underWay.get(nameOf(key, request.provider.name)));
      const missing = readings.filter((_, index) => known[index] === undefined);
      const reads = new Set(known.filter((read) => read !== undefined));
      if (missing.length > 0) reads.add(start(key, missing));
      const results = await Promise.all([...reads].map(({ answered }) => answered));
      return {
        lists: new Map([...reads].flatMap((read) => [...read.lists])),
        queue: results.findLast((result) => result.queue !== null)?.queue ?? null,
        roundTrips: results.reduce((sum, result) => sum + result.roundTrips, 0),
      };
    },
  };
}

function nameOf({ malId, episode }: EpisodeKey, provider: string): string {
  return `${malId}/${episode}/${provider}`;
}
