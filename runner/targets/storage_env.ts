/** What the storage targets read from the environment: every target has a function of type TargetsFromEnv next to its code. */
import type { RetryParts } from "../transfer/retry.ts";
import type { StorageTarget } from "./target.ts";

export type StorageEnv = Readonly<Record<string, string | undefined>>;

/** Returns the targets that are configured; adds a line to `problems` for every missing or wrong variable. */
export type TargetsFromEnv = (
  env: StorageEnv,
  options: {
    readonly retry: RetryParts;
    readonly problems: string[];
    /** Number of the first target; the numbers continue across the kinds of targets. */
    readonly account: number;
  },
) => StorageTarget[];

/** Repositories and directories are called `{prefix}-{malId}`. */
export function repoPrefix(env: StorageEnv): string {
  return env.HF_REPO_PREFIX || "keepstream";
}

export function withoutSlash(text: string): string {
  return text.replace(/\/+$/, "");
}
