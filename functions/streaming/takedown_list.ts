// The signed deny list that the Worker reads, cached for a few seconds. Runs on: Deno, edge runtime.
import { type DenyList, isDenied, signDenyList } from "../../core/deny_list.ts";
import type { SigningKeys } from "../../core/link.ts";
import type { EpisodeKey, EpisodeStore } from "./episode_store.ts";

/** Links that were signed earlier stop within a minute of a takedown; the Worker's cache takes the rest of it. */
const KEEP_MS = 5_000;

export interface TakedownList {
  /** The response body. @throws {RpcError} */
  signed(): Promise<string>;
  /** Whether an episode is denied. While the database is unavailable, by the last list; false without one. */
  isTakenDown(at: EpisodeKey): Promise<boolean>;
}

interface Signed {
  readonly list: DenyList;
  readonly signed: string;
}

export function createTakedownList(
  tools: {
    readonly store: Pick<EpisodeStore, "listTakedowns">;
    readonly keys: SigningKeys;
    readonly now: () => number;
  },
): TakedownList {
  let last: { readonly at: number; readonly pending: Promise<Signed> } | null = null;
  let latest: DenyList | null = null;

  async function load(at: number): Promise<Signed> {
    const list = { issuedAt: Math.floor(at / 1000), ...await tools.store.listTakedowns() };
    latest = list;
    return { list, signed: await signDenyList(list, tools.keys) };
  }

  function current(): Promise<Signed> {
    const at = tools.now();
    if (last === null || at - last.at > KEEP_MS) {
      const pending = load(at);
      last = { at, pending };
      pending.catch(() => last = null); // the next request tries again
    }
    return last.pending;
  }

  return {
    signed: async () => (await current()).signed,
    async isTakenDown(at) {
      await current().catch(() => {});
      return latest !== null && isDenied(latest, at);
    },
  };
}
