/** HF_TOKEN_STORAGE_1 and HF_STORAGE_USERNAME_1 → the target `hub:<username>`, account 1; and so on. */
import { repoPrefix, type TargetsFromEnv, withoutSlash } from "../storage_env.ts";
import type { StorageTarget } from "../target.ts";
import { createHubTarget } from "./hub_target.ts";

export const hubTargets: TargetsFromEnv = (env, { retry, problems }) => {
  const numbers = Object.keys(env).flatMap((key) => {
    const number = /^HF_TOKEN_STORAGE_(\d+)$/.exec(key)?.[1];
    return number && env[key] ? [Number(number)] : [];
  });
  const count = env.HF_STORAGE_ACCOUNT_COUNT ? Number(env.HF_STORAGE_ACCOUNT_COUNT) : Math.max(0, ...numbers);
  if (!Number.isInteger(count) || count < 0) {
    problems.push("HF_STORAGE_ACCOUNT_COUNT is not a whole number");
    return [];
  }
  const targets: StorageTarget[] = [];
  for (let account = 1; account <= count; account++) {
    const token = env[`HF_TOKEN_STORAGE_${account}`];
    const username = env[`HF_STORAGE_USERNAME_${account}`];
    if (!token) problems.push(`HF_TOKEN_STORAGE_${account} is missing`);
    if (!username) problems.push(`HF_STORAGE_USERNAME_${account} is missing`);
    if (!token || !username) continue;
    const endpoint = withoutSlash(env.HF_ENDPOINT || "https://huggingface.co");
    targets.push(createHubTarget({ endpoint, username, token, repoPrefix: repoPrefix(env), account, retry }));
  }
  return targets;
};
