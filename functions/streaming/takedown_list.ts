// What is taken down, as the Worker reads it: one signed list, asked of the database at most every few seconds.
// Runs on: Deno, edge runtime.
import { type DenyList, isDenied, signDenyList } from "../../core/deny_list.ts";
import type { SigningKeys } from "../../core/link.ts";
import type { EpisodeKey, EpisodeStore } from "./episode_store.ts";

/** Part of the minute within which links signed earlier stop; the Worker's own cache takes the rest. */
const KEEP_MS = 5_000;

export interface TakedownList {
  /** The response body. @throws {StoreError} */
  signed(): Promise<string>;
  /** While the database does not answer, by the last list; false without one. */
  names(at: EpisodeKey): Promise<boolean>;
}

interface Known {
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
  let last: { readonly at: number; readonly known: Promise<Known> } | null = null;
  let inForce: DenyList | null = null;

  async function ask(at: number): Promise<Known> {
    const list = { issuedAt: Math.floor(at / 1000), ...await tools.store.listTakedowns() };
    inForce = list;
    return { list, signed: await signDenyList(list, tools.keys) };
  }

  function current(): Promise<Known> {
    const at = tools.now();
    if (last === null || at - last.at > KEEP_MS) {
      const known = ask(at);
      last = { at, known };
      known.catch(() => last = null); // the next request asks again
    }
    return last.known;
  }

  return {
    signed: async () => (await current()).signed,
    async names(at) {
      await current().catch(() => {});
      return inForce !== null && isDenied(inForce, at);
    },
  };
}
