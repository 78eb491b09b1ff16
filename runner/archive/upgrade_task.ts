/** `storage upgrade`: rewrites archives in the plain form. Example: `deno task ks storage upgrade --limit 20 --max-bytes 10e9`. */
import type { Upgradable } from "./archive_store.ts";
import {
  upgradeArchives,
  type UpgradeBudget,
  type UpgradeCounts,
  type UpgradeOutcome,
  type UpgradeTools,
} from "./upgrade.ts";

export const UPGRADE_OPTIONS = ["target", "limit", "max-bytes", "keep-hours", "dry-run", "json"] as const;

export interface UpgradeFlags {
  readonly target?: string;
  readonly limit?: string;
  readonly "max-bytes"?: string;
  readonly "keep-hours"?: string;
  readonly "dry-run"?: boolean;
  readonly json?: boolean;
}

/** Returns the exit code: 0 done, 1 some archives are left, 2 wrong use. */
export async function upgradeTask(
  flags: UpgradeFlags,
  { mayRewrite, print, ...tools }: UpgradeTools & { mayRewrite: boolean; print: (line: string) => void },
): Promise<number> {
  const budget = budgetOf(flags);
  const problem = typeof budget === "string" ? budget : problemOf(flags, tools, mayRewrite);
  if (problem !== null || typeof budget === "string") {
    print(problem ?? "");
    return 2;
  }
  const archives: object[] = [];
  const onUpgrade = (archive: Upgradable, outcome: UpgradeOutcome) => {
    if (flags.json) archives.push(entryOf(archive, outcome));
    else print(lineOf(archive, outcome));
  };
  const counts = await upgradeArchives(budget, { ...tools, onUpgrade });
  const code = counts.failed + counts.waiting > 0 ? 1 : 0;
  print(flags.json ? JSON.stringify({ ...counts, archives, exit_code: code }) : summaryOf(counts));
  return code;
}

function problemOf(flags: UpgradeFlags, { targets }: UpgradeTools, mayRewrite: boolean): string | null {
  if (!mayRewrite) return "ARCHIVE_FORM is plain: archives stay as they are";
  const isKnown = flags.target === undefined || targets.some(({ name }) => name === flags.target);
  return isKnown ? null : `${flags.target} is not configured here`;
}

/** A text says what is wrong. */
function budgetOf(flags: UpgradeFlags): UpgradeBudget | string {
  const limit = flags.limit === undefined ? undefined : Number(flags.limit);
  const maxBytes = flags["max-bytes"] === undefined ? undefined : Number(flags["max-bytes"]);
  const keepHours = flags["keep-hours"] === undefined ? undefined : Number(flags["keep-hours"]);
  if (limit !== undefined && !(Number.isInteger(limit) && limit > 0)) return "--limit must be a whole number above 0";
  if (maxBytes !== undefined && !(maxBytes > 0 && maxBytes < Infinity)) return "--max-bytes must be a number above 0";
  if (keepHours !== undefined && !(keepHours >= 0 && keepHours <= 720)) return "--keep-hours must be from 0 to 720";
  return {
    ...(flags.target !== undefined && { target: flags.target }),
    ...(limit !== undefined && { limit }),
    ...(maxBytes !== undefined && { maxBytes }),
    ...(keepHours !== undefined && { keepSeconds: Math.round(keepHours * 3600) }),
    dryRun: flags["dry-run"] ?? false,
  };
}

function entryOf({ archive, provider, resolution, sizeBytes }: Upgradable, outcome: UpgradeOutcome): object {
  const { malId: mal_id, episode } = archive;
  const reason = "reason" in outcome ? outcome.reason : null;
  return { mal_id, episode, provider, resolution, size_bytes: sizeBytes, state: outcome.state, reason };
}

function lineOf({ archive, provider, resolution }: Upgradable, outcome: UpgradeOutcome): string {
  const what = `${archive.malId} episode ${archive.episode}, ${provider} ${resolution ?? "without a label"}`;
  return "reason" in outcome ? `${what}: ${outcome.state} – ${outcome.reason}` : `${what}: ${outcome.state}`;
}

function summaryOf({ hybrid, plain, waiting, failed, due, bytes }: UpgradeCounts): string {
  const gigabytes = `${(bytes / 1e9).toFixed(2)} GB`;
  if (due > 0) return `${due} archives would be rewritten, ${gigabytes} to read`;
  return `${hybrid} rewritten, ${plain} stay plain, ${waiting} to be tried later, ${failed} failed; ${gigabytes} read`;
}
