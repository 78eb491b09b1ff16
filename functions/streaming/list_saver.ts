// Saves what was read. A save that fails costs no answer: it is tried again in the background, while this isolate keeps the list.
// Runs on: Deno, edge runtime.
import type { pause } from "../../sources/fetch/pause.ts";
import type { SourceList } from "../../sources/source_list.ts";
import { type EpisodeKey, type EpisodeStore, type ListToSave, type QueuedVideo, StoreError } from "./episode_store.ts";
import { httpOnly } from "./http_only.ts";

const RETRY_DELAYS_MS = [500, 1_000, 2_000, 4_000, 8_000];
/** How long a response waits to say what is queued. */
const RESPONSE_WAIT_MS = 1_500;

export interface ListSaverTools {
  readonly store: Pick<EpisodeStore, "saveSources">;
  /** When a list is worth another look. */
  readonly dueSeconds: (list: SourceList) => number;
  readonly now: () => number;
  readonly pause: typeof pause;
  readonly onError: (event: "sources:save:failed", error: unknown) => void;
}

/** A list, and when its read began: one that ends late must not replace a younger one. */
export interface ReadList {
  readonly list: ListToSave;
  /** Unix milliseconds. */
  readonly beganAt: number;
}

export interface Saving {
  /** The queue after the save; null when the first attempt failed or takes too long for a response. */
  readonly queue: Promise<readonly QueuedVideo[] | null>;
  /** Settles when it is saved or given up. Never rejects. */
  readonly settled: Promise<unknown>;
}

export type SaveLists = (key: EpisodeKey, lists: ReadonlyMap<string, ReadList>) => Saving;

export function createListSaver(tools: ListSaverTools): SaveLists {
  const never = new AbortController().signal;

  function saveAtOnce(key: EpisodeKey, lists: ReadonlyMap<string, ReadList>): Promise<readonly QueuedVideo[]> {
    const entries = [...lists].map(([name, { list, beganAt }]) => {
      const age = Math.max(0, (tools.now() - beganAt) / 1000);
      return [name, {
        ...list,
        servers: httpOnly(list.servers),
        due_seconds: tools.dueSeconds(list),
        age_seconds: age,
      }];
    });
    return tools.store.saveSources(key, Object.fromEntries(entries));
  }

  /** One provider's list that the database refuses must not cost the others theirs. @throws when a retry may help. */
  async function save(key: EpisodeKey, lists: ReadonlyMap<string, ReadList>): Promise<readonly QueuedVideo[] | null> {
    try {
      return await saveAtOnce(key, lists);
    } catch (error) {
      tools.onError("sources:save:failed", error);
      if (!(error instanceof StoreError && error.refused)) throw error;
    }
    if (lists.size === 1) return null;
    let queue: readonly QueuedVideo[] | null = null;
    for (const [name, list] of lists) queue = await save(key, new Map([[name, list]])) ?? queue;
    return queue;
  }

  async function retry(key: EpisodeKey, lists: ReadonlyMap<string, ReadList>): Promise<void> {
    for (const delayMs of RETRY_DELAYS_MS) {
      await tools.pause(delayMs, never);
      const isOver = await save(key, lists).then(() => true, () => false);
      if (isOver) return;
    }
  }

  return (key, lists) => {
    const first = save(key, lists);
    const over = new AbortController();
    const settled = first.catch(() => retry(key, lists));
    const tooLate = tools.pause(RESPONSE_WAIT_MS, over.signal).then(() => null, () => null);
    const queue = Promise.race([first.catch(() => null), tooLate]).finally(() => over.abort());
    return { queue, settled };
  };
}
