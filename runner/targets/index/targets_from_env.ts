// The storage targets that the configuration names, in the order of their account numbers.
// Example: HF_TOKEN_STORAGE_1 + HF_STORAGE_USERNAME_1 → the target `hub:<username>`, account 1. Runs on: Deno.

import type { FolderFilesOptions } from "../folder/folder_files.ts";
import { createFolderTarget } from "../folder/folder_target.ts";
import { createHubTarget } from "../hub/hub_target.ts";
import { DEFAULT_TIMES, type RetryParts, type RetryTimes, sleep } from "../../transfer/retry.ts";
import { createS3Target } from "../s3/s3_target.ts";
import type { StorageTarget } from "../target.ts";

export type StorageEnv = Readonly<Record<string, string | undefined>>;

/** Throws one error that names everything missing or wrong. */
export function storageTargetsFromEnv(
  env: StorageEnv,
  options: { fetch?: typeof fetch; times?: Partial<RetryTimes> } = {},
): StorageTarget[] {
  const retry: RetryParts = {
    fetch: options.fetch ?? fetch,
    sockets: options.fetch === undefined && !env.HTTPS_PROXY && !env.HTTP_PROXY && !env.https_proxy && !env.http_proxy,
    times: { ...DEFAULT_TIMES, ...options.times },
    sleep,
    random: Math.random,
  };
  const problems: string[] = [];
  const targets = hubTargets(env, { retry, problems });
  targets.push(...s3Targets(env, { retry, problems, account: targets.length + 1 }));
  targets.push(...folderTargets(env, { problems, account: targets.length + 1 }));
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
    const endpoint = withoutSlash(env.HF_ENDPOINT || "https://huggingface.co");
    targets.push(createHubTarget({ endpoint, username, token, repoPrefix: repoPrefix(env), account, retry }));
  }
  return targets;
}

/** One bucket: S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, and S3_REGION where the store has several. */
function s3Targets(
  env: StorageEnv,
  options: { retry: RetryParts; problems: string[]; account: number },
): StorageTarget[] {
  if (!env.S3_BUCKET) return [];
  const { S3_ENDPOINT: endpoint, S3_ACCESS_KEY_ID: accessKeyId, S3_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (!endpoint) options.problems.push("S3_ENDPOINT is missing");
  if (!accessKeyId) options.problems.push("S3_ACCESS_KEY_ID is missing");
  if (!secretAccessKey) options.problems.push("S3_SECRET_ACCESS_KEY is missing");
  if (!endpoint || !accessKeyId || !secretAccessKey) return [];
  return [createS3Target({
    endpoint: withoutSlash(endpoint),
    bucket: env.S3_BUCKET,
    region: env.S3_REGION || "auto",
    accessKeyId,
    secretAccessKey,
    repoPrefix: repoPrefix(env),
    account: options.account,
    retry: options.retry,
  })];
}

/** One folder: STORAGE_FOLDER, and STORAGE_FOLDER_URL where the runner's files are reachable for cf-proxy. */
function folderTargets(env: StorageEnv, options: { problems: string[]; account: number }): StorageTarget[] {
  if (!env.STORAGE_FOLDER) return [];
  if (!env.STORAGE_FOLDER_URL) options.problems.push("STORAGE_FOLDER_URL is missing");
  if (!env.STORAGE_FOLDER_TOKEN) options.problems.push("STORAGE_FOLDER_TOKEN is missing");
  return [createFolderTarget({
    root: withoutSlash(env.STORAGE_FOLDER),
    folderName: "folder",
    baseUrl: withoutSlash(env.STORAGE_FOLDER_URL ?? ""),
    repoPrefix: repoPrefix(env),
    account: options.account,
  })];
}

/** What `folder_files.ts` needs to serve the folder target's files; null when there is none. */
export function folderFromEnv(env: StorageEnv): FolderFilesOptions | null {
  if (!env.STORAGE_FOLDER || !env.STORAGE_FOLDER_TOKEN) return null;
  return { root: withoutSlash(env.STORAGE_FOLDER), token: env.STORAGE_FOLDER_TOKEN };
}

function repoPrefix(env: StorageEnv): string {
  return env.HF_REPO_PREFIX || "keepstream";
}

function withoutSlash(text: string): string {
  return text.replace(/\/+$/, "");
}
