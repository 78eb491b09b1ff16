/**
 * The registry of storage targets. A new kind of target is a folder in `targets/` and a line in TARGETS.
 * Example: `storageTargetsFromEnv(Deno.env.toObject())` → [hub:alice, s3:archive].
 */
import { sleep } from "../core/sleep.ts";
import { folderTargets } from "./targets/folder/folder_from_env.ts";
import { hubTargets } from "./targets/hub/hub_from_env.ts";
import { s3Targets } from "./targets/s3/s3_from_env.ts";
import type { StorageEnv, TargetsFromEnv } from "./targets/storage_env.ts";
import type { StorageTarget } from "./targets/target.ts";
import { DEFAULT_TIMES, type RetryParts, type RetryTimes } from "./transfer/retry.ts";

/** In the order of their account numbers. */
const TARGETS: readonly TargetsFromEnv[] = [hubTargets, s3Targets, folderTargets];

/** @throws {Error} that names every missing or wrong variable. */
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
  const targets: StorageTarget[] = [];
  for (const fromEnv of TARGETS) targets.push(...fromEnv(env, { retry, problems, account: targets.length + 1 }));
  if (problems.length > 0) throw new Error(`storage is not configured: ${problems.join("; ")}`);
  return targets;
}
