// The storage targets that the configuration names, in the order of their account numbers.
// Example: HF_TOKEN_STORAGE_1 + HF_STORAGE_USERNAME_1 → the target `hub:<username>`, account 1. Runs on: Deno.

import { createHubTarget } from "./hub_target.ts";
import { DEFAULT_TIMES, type RetryParts, type RetryTimes, sleep } from "./retry.ts";
import type { StorageTarget } from "./target.ts";

export type StorageEnv = Readonly<Record<string, string | undefined>>;

/** Throws one error that names everything missing or wrong. */
export function storageTargetsFromEnv(
  env: StorageEnv,
  options: { fetch?: typeof fetch; times?: Partial<RetryTimes> } = {},
): StorageTarget[] {
  const retry: RetryParts = {
    fetch: options.fetch ?? fetch,
    times: { ...DEFAULT_TIMES, ...options.times },
    sleep,
    random: Math.random,
  };
  const problems: string[] = [];
  const targets: StorageTarget[] = hubTargets(env, { retry, problems });
  if (problems.length > 0) throw new Error(`storage is not configured: ${problems.join("; ")}`);
  return targets;
}

function hubTargets(env: StorageEnv, options: { retry: RetryParts; problems: string[] }): StorageTarget[] {
  const { retry, problems } = options;
  const numbers = Object.keys(env).flatMap((key) => {
    const number = /^HF_TOKEN_STORAGE_(\d+)$/.exec(key)?.[1];
    return number && env[key] ? [Number(number)] : [];
  });
  const wanted = env.HF_STORAGE_ACCOUNT_COUNT ? Number(env.HF_STORAGE_ACCOUNT_COUNT) : Math.max(0, ...numbers);
  if (!Number.isInteger(wanted) || wanted < 0) {
    problems.push("HF_STORAGE_ACCOUNT_COUNT is not a whole number");
    return [];
  }
  const targets: StorageTarget[] = [];
  for (let account = 1; account <= wanted; account++) {
    const token = env[`HF_TOKEN_STORAGE_${account}`];
    const username = env[`HF_STORAGE_USERNAME_${account}`];
    if (!token) problems.push(`HF_TOKEN_STORAGE_${account} is missing`);
    if (!username) problems.push(`HF_STORAGE_USERNAME_${account} is missing`);
    if (!token || !username) continue;
    const endpoint = (env.HF_ENDPOINT || "https://huggingface.co").replace(/\/+$/, "");
    const repoPrefix = env.HF_REPO_PREFIX || "archive";
    targets.push(createHubTarget({ endpoint, username, token, repoPrefix, account, retry }));
  }
  return targets;
}
