// Reads source lists that are not cached, as a single flight: concurrent requests in an isolate share one read per provider. A caller
// waits up to its budget; the read finishes in the background. Runs on: Deno, edge runtime.
import type { SourceList } from "../../sources/source_list.ts";
import { EpisodeRead, type SourceRead, type SourceReaderTools } from "./episode_read.ts";
import type { EpisodeKey, QueuedVideo } from "./episode_store.ts";

export interface SourcesRead {
  /** The lists that arrived in time; the others are still being read. */
  readonly lists: ReadonlyMap<string, { readonly list: SourceList; readonly tookMs: number }>;
  /** The queue after saving; null if nothing was saved, or saving failed. */
  readonly queue: readonly QueuedVideo[] | null;
  /** Number of database calls. */
  readonly roundTrips: number;
}

export interface SourceReader {
  /** Starts the reads that are not in progress, joins the others, and resolves when all have finished or the budget is used up. */
  read(key: EpisodeKey, reads: readonly SourceRead[]): Promise<SourcesRead>;
}

export function createSourceReader(tools: SourceReaderTools): SourceReader {
  const inFlight = new Map<string, EpisodeRead>();

  function startRead(key: EpisodeKey, reads: readonly SourceRead[]): EpisodeRead {
    const started = new EpisodeRead(key, reads, tools);
    for (const [provider, ended] of started.ended) {
      const name = nameOf(key, provider);
      inFlight.set(name, started);
      tools.background(ended.then(() => inFlight.delete(name)));
    }
    return started;
  }

  return {
    async read(key, reads) {
      const running = reads.map(({ request }) => inFlight.get(nameOf(key, request.provider.name)));
      const missing = reads.filter((_, index) => running[index] === undefined);
      const joined = new Set(running.filter((one) => one !== undefined));
      if (missing.length > 0) joined.add(startRead(key, missing));
      const results = await Promise.all([...joined].map(({ response }) => response));
      return {
        lists: new Map([...joined].flatMap((one) => [...one.lists])),
        queue: results.findLast((result) => result.queue !== null)?.queue ?? null,
        roundTrips: results.reduce((sum, result) => sum + result.roundTrips, 0),
      };
    },
  };
}

function nameOf({ malId, episode }: EpisodeKey, provider: string): string {
  return `${malId}/${episode}/${provider}`;
}
