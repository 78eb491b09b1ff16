// Saves source lists. A failed save never fails the response; it is retried in the background while this isolate keeps the list.
// Runs on: Deno, edge runtime.
import { retry, type RetryPolicy } from "../../core/retry.ts";
import type { sleep } from "../../core/sleep.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { RpcError } from "../../core/rpc_error.ts";
import type { EpisodeKey, EpisodeStore, ListToSave, QueuedVideo } from "./episode_store.ts";
import { httpOnly } from "./http_only.ts";

/** Delays of 0.5, 1, 2, 4 and 8 s. */
const SAVE_RETRY: RetryPolicy = { attempts: 6, delayMs: 500, jitter: 0 };
/** How long a response waits for the queue after the save. */
const RESPONSE_WAIT_MS = 1_500;

export interface ListSaverTools {
  readonly store: Pick<EpisodeStore, "saveSources">;
  readonly freshnessSeconds: (list: SourceList) => number;
  readonly now: () => number;
  readonly sleep: typeof sleep;
  readonly onError: (event: "sources:save:failed", error: unknown) => void;
}

/** A list with the start of its read: one that ends late must not replace a list that was read later. */
export interface ReadList {
  readonly list: ListToSave;
  /** Unix milliseconds. */
  readonly beganAt: number;
}

export interface Saving {
  /** The queue after the save; null if the first attempt failed or took too long for a response. */
  readonly queue: Promise<readonly QueuedVideo[] | null>;
  /** Settles when the lists are saved or the retries are used up. Never rejects. */
  readonly settled: Promise<unknown>;
}

export type SaveLists = (key: EpisodeKey, lists: ReadonlyMap<string, ReadList>) => Saving;

export function createListSaver(tools: ListSaverTools): SaveLists {
  function saveTogether(key: EpisodeKey, lists: ReadonlyMap<string, ReadList>): Promise<readonly QueuedVideo[]> {
    const entries = [...lists].map(([name, { list, beganAt }]) => {
      const age = Math.max(0, (tools.now() - beganAt) / 1000);
      return [name, {
        ...list,
        servers: httpOnly(list.servers),
        due_seconds: tools.freshnessSeconds(list),
        age_seconds: age,
      }];
    });
    return tools.store.saveSources(key, Object.fromEntries(entries));
  }

  /** If the database refuses the input, saves each list separately so that only the bad one is lost. @throws if a retry may help */
  async function save(key: EpisodeKey, lists: ReadonlyMap<string, ReadList>): Promise<readonly QueuedVideo[] | null> {
    try {
      return await saveTogether(key, lists);
    } catch (error) {
      tools.onError("sources:save:failed", error);
      if (!(error instanceof RpcError && error.isInvalidInput)) throw error;
    }
    if (lists.size === 1) return null;
    let queue: readonly QueuedVideo[] | null = null;
    for (const [name, list] of lists) queue = await save(key, new Map([[name, list]])) ?? queue;
    return queue;
  }

  return (key, lists) => {
    const first = save(key, lists);
    const over = new AbortController();
    const settled = retry(
      (attempt) => attempt === 1 ? first : save(key, lists),
      SAVE_RETRY,
      { sleep: tools.sleep },
    ).catch(() => {}); // every failure was reported
    const tooLate = tools.sleep(RESPONSE_WAIT_MS, over.signal).then(() => null, () => null);
    const queue = Promise.race([first.catch(() => null), tooLate]).finally(() => over.abort());
    return { queue, settled };
  };
}
