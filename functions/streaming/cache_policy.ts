// What an answer does about a provider, and when a list that was read is worth another look.
// Example: a list of 25 minutes that this isolate may read → "renew": answered as it is, read again behind.
// Runs on: Deno, edge runtime.
import type { SourceList } from "../../sources/source_list.ts";
import type { CachedList, Episode } from "./episode_store.ts";

/** A page may name an address that has expired already: reading it again at once would find the same. */
const MIN_AGE_SECONDS = 60;

/**
 * `answer`: as it is. `renew`: as it is, and read behind. `read`: wait for our reading. `follow`: give
 * another isolate's a moment first.
 */
export type Plan = "answer" | "renew" | "read" | "follow";

export interface PlanOptions {
  readonly refresh: boolean;
  readonly staleSeconds: number;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** Nobody waits for a provider that is known to fail: the failure is the answer, and whoever it is due for looks behind. */
export function planFor(name: string, known: Episode, options: PlanOptions): Plan {
  const list = known.source_lists[name] ?? null;
  const claimed = known.source_reads[name];
  const waits = known.open_circuits[name] === undefined &&
    (list === null || (list.state === "ok" && isSpent(list, options)));
  if (waits) return claimed === false ? "follow" : "read";
  return claimed === true ? "renew" : "answer";
}

function isSpent(list: CachedList, { refresh, staleSeconds, now }: PlanOptions): boolean {
  if (list.age_seconds > staleSeconds) return true;
  const dead = expiries(list).some((time) => time <= now());
  return list.age_seconds > MIN_AGE_SECONDS && (refresh || dead);
}

/** Seconds until another look; of a failure the first of a row that the database lets grow. */
export function dueSeconds(
  list: SourceList,
  { freshSeconds, failureSeconds, now }: { freshSeconds: number; failureSeconds: number; now: () => number },
): number {
  if (list.state !== "ok") return failureSeconds;
  const lasts = Math.min(...expiries(list).map((time) => (time - now()) / 1000));
  return Math.round(Math.min(freshSeconds, Math.max(MIN_AGE_SECONDS, lasts)));
}

function expiries(list: SourceList): readonly number[] {
  return list.servers.map(({ expires_at }) => Date.parse(expires_at ?? "")).filter((time) => !Number.isNaN(time));
}
