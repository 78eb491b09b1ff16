/** The operator's storage commands. Example: `deno task ks storage takedown 55825 1`. */

import { parseArgs } from "node:util";
import type { ArchiveStore, SidecarRepair } from "./archive_store.ts";
import { type CircuitBreaker, probeTargets } from "./circuit_breaker.ts";
import type { IdentifiedTarget } from "./identity.ts";
import { repairOnce } from "./repair.ts";
import { repairSidecars, type SidecarRepairTools } from "./sidecar_repair.ts";
import { takeDown } from "./takedown.ts";
import type { Title } from "../targets/target.ts";
import type { UpgradeTools } from "./upgrade.ts";
import { UPGRADE_OPTIONS, upgradeTask } from "./upgrade_task.ts";
import { type TargetReport, type Verification, verifyCopies } from "./verify.ts";

export interface TaskTools extends SidecarRepairTools, Omit<UpgradeTools, "onOutcome"> {
  readonly store: ArchiveStore;
  readonly targets: readonly IdentifiedTarget[];
  readonly breaker: CircuitBreaker;
  /** false: the operator chose plain archives. */
  readonly mayRewrite: boolean;
  readonly print: (line: string) => void;
  /** Starts a progress bar; undefined without a terminal. */
  readonly startBar?: (total: number) => Bar;
}

export interface Bar {
  readonly tick: () => void;
  /** Prints a line above the bar. */
  readonly log: (line: string) => void;
  readonly stop: () => void;
}

export const USAGE = `usage:
  deno task ks storage health                        state and used bytes of every target
  deno task ks storage repair                        make every missing copy and sidecar
  deno task ks storage verify [--share 0.05] [--target NAME] [--confirm-missing] [--json]
                                                     read copies back and hash them (all without --share);
                                                     --confirm-missing: missing copies are lost; with --target
                                                     also those in a repository that cannot be seen
  deno task ks storage upgrade [--target NAME] [--limit N] [--max-bytes N] [--keep-hours 24] [--dry-run] [--json]
                                                     rewrite archives in the plain form, so that they can be played as
                                                     HLS; the old files are deleted --keep-hours later
  deno task ks storage init <target>                 register the current storage as the target, replacing another one
  deno task ks storage takedown <mal_id> [episode]   remove copies, rows and cached links, until lifted
  deno task ks storage lift <mal_id> [episode] [--dry-run] [--json]   allow archiving again`;

const OPTIONS = {
  share: { type: "string" },
  target: { type: "string" },
  limit: { type: "string" },
  "max-bytes": { type: "string" },
  "keep-hours": { type: "string" },
  "confirm-missing": { type: "boolean" },
  "dry-run": { type: "boolean" },
  json: { type: "boolean" },
} as const;
const OPTIONS_OF: Readonly<Record<string, readonly string[]>> = {
  health: [],
  repair: [],
  verify: ["share", "target", "confirm-missing", "json"],
  upgrade: UPGRADE_OPTIONS,
  init: [],
  takedown: [],
  lift: ["dry-run", "json"],
};

function parseTask(args: readonly string[]) {
  try {
    const { values, positionals: [task = "", ...rest] } = parseArgs({
      args: [...args],
      options: OPTIONS,
      allowPositionals: true,
    });
    const strange = Object.keys(values).find((option) => !OPTIONS_OF[task]?.includes(option));
    if (strange === undefined) return { task, rest, values };
    return { problem: `--${strange} is not an option of ${task || "this"}` }; // a misspelled --dry-run must not run a takedown
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

/** Returns the exit code: 0 nothing is left to do, 1 something is, 2 usage error, 3 a target could not be verified. */
export async function runStorageTask(args: readonly string[], tools: TaskTools): Promise<number> {
  const parsed = parseTask(args);
  if ("problem" in parsed) {
    tools.print(`${parsed.problem}\n${USAGE}`);
    return 2;
  }
  const { task, rest, values } = parsed;
  switch (task) {
    case "health":
      return await health(tools);
    case "repair":
      return await repair(tools);
    case "verify":
      return await verify(values, tools);
    case "upgrade":
      if (rest.length === 0) return await upgradeTask(values, tools);
      tools.print(USAGE);
      return 2;
    case "init":
      return await init(rest, tools);
    case "takedown":
      return await takedown(rest, tools);
    case "lift":
      return await lift(rest, { tools, dryRun: values["dry-run"] ?? false, json: values.json ?? false });
    default:
      tools.print(USAGE);
      return 2;
  }
}

async function health(tools: TaskTools): Promise<number> {
  await probeTargets(tools.targets, tools);
  for (const { target, state, usedBytes, message } of tools.breaker.all()) {
    const size = usedBytes === null ? "" : `, ${(usedBytes / 1e9).toFixed(1)} GB`;
    tools.print(`${target}: ${state}${size}${message ? ` – ${message}` : ""}`);
  }
  return tools.breaker.all().every(({ state }) => state === "ok") ? 0 : 1;
}

async function repair(tools: TaskTools): Promise<number> {
  const planned = await tools.store.planRepairs(tools.targets.map((target) => target.name));
  tools.print(`${planned} copies are missing`);
  let left = 0;
  for (let ended = 1; ended > 0;) {
    const round = await repairOnce({
      ...tools,
      onOutcome: (repair, outcome) => {
        const error = "error" in outcome && outcome.error ? ` – ${outcome.error}` : "";
        const { malId, episode } = repair.archive;
        tools.print(`${malId} episode ${episode} on ${repair.target}: ${outcome.state}${error}`);
      },
    });
    left += round.claimed - round.verified;
    ended = round.verified + round.failed; // released repairs would be claimed again endlessly
  }
  const onSidecars = (repair: SidecarRepair, error: string | null) => {
    if (error !== null) left++;
    const { malId, episode } = repair.archive;
    tools.print(`${malId} episode ${episode} on ${repair.target}: ${error ?? "sidecars added"}`);
  };
  while (await repairSidecars({ ...tools, onSidecars }) > 0);
  return left > 0 ? 1 : 0;
}

async function verify(
  options: { share?: string; target?: string; "confirm-missing"?: boolean; json?: boolean },
  tools: TaskTools,
): Promise<number> {
  const share = Number(options.share ?? 1);
  if (!(share > 0 && share <= 1)) {
    tools.print("--share must be above 0 and at most 1");
    return 2;
  }
  const targets = tools.targets.filter(({ name }) => name === (options.target ?? name));
  if (options.target !== undefined && targets.length === 0) {
    tools.print(`${options.target} is not configured here`);
    return 2;
  }
  const copies: { target: string; path: string; verdict: string }[] = [];
  const bar = options.json ? undefined : tools.startBar?.(await tools.store.countRecorded(options.target));
  const say = options.json ? () => {} : bar?.log ?? tools.print;
  const result = await verifyCopies({
    ...tools,
    targets,
    only: options.target,
    share,
    confirmMissing: options["confirm-missing"] ?? false,
    random: Math.random,
    onTarget: (report) => say(lineOn(report)),
    onRead: () => bar?.tick(),
    onCopy: ({ target, location: { path } }, verdict) => {
      if (verdict === "sound" || verdict === "unchecked") return;
      copies.push({ target, path, verdict });
      say(`${target} ${path}: ${verdict}`);
    },
  }).finally(() => bar?.stop());
  const code = codeOf(result);
  if (options.json) {
    tools.print(JSON.stringify({ ...result, copies, exit_code: code }));
    return code;
  }
  for (const report of result.targets.filter(({ state }) => state === "stopped" || state === "unknown")) {
    tools.print(lineOn(report));
  }
  tools.print(Object.entries(result.counts).map(([verdict, count]) => `${count} ${verdict}`).join(", "));
  return code;
}

function lineOn({ target, state, message }: TargetReport): string {
  return message === null ? `${target}: ${state}` : `${target}: ${state} – ${message}`;
}

function codeOf({ targets, counts }: Verification): number {
  const blind = targets.some(({ state }) => state !== "ok" && state !== "new");
  if (blind || counts.unreachable + counts.unchecked + counts["unknown-target"] > 0) return 3;
  return counts.missing + counts.damaged + counts.incomplete > 0 ? 1 : 0;
}

async function init(args: readonly string[], tools: TaskTools): Promise<number> {
  const target = tools.targets.find(({ name }) => name === args[0]);
  if (!target || args.length !== 1) {
    tools.print(
      `name one of the targets that are configured here: ${tools.targets.map(({ name }) => name).join(", ")}`,
    );
    return 2;
  }
  await target.initialise();
  tools.print(
    `${target.name} is the recorded target now. Copies that are recorded and not there: deno task ks storage verify`,
  );
  return 0;
}

async function takedown(args: readonly string[], tools: TaskTools): Promise<number> {
  const title = parseTitle(args);
  if (title === null) {
    tools.print(USAGE);
    return 2;
  }
  const { jobs, files, left } = await takeDown(title, tools);
  tools.print(`${jobs} jobs and their rows removed, ${files} files removed`);
  for (const { target, reason } of left) tools.print(`left on ${target}: ${reason}`);
  return left.length > 0 ? 1 : 0;
}

async function lift(
  args: readonly string[],
  { tools, dryRun, json }: { tools: TaskTools; dryRun: boolean; json: boolean },
): Promise<number> {
  const title = parseTitle(args);
  if (title === null) {
    tools.print(USAGE);
    return 2;
  }
  const lifted = await tools.store.liftTakedown(title, { dryRun });
  const { malId, episode } = title;
  const what = episode === undefined ? `title ${malId}` : `title ${malId}, episode ${episode}`;
  if (json) {
    tools.print(JSON.stringify({ mal_id: malId, episode: episode ?? null, lifted, dry_run: dryRun }));
  } else if (lifted) {
    tools.print(`${dryRun ? "would be" : "may be"} archived again: ${what}`);
  } else {
    tools.print(
      `${what} was not taken down (a whole title and an episode of it are lifted each as they were taken down)`,
    );
  }
  return lifted ? 0 : 1;
}

function parseTitle(args: readonly string[]): Title | null {
  const [malId, episode] = args.map(Number);
  const valid = (number: number | undefined) => Number.isInteger(number) && number! > 0;
  if (args.length < 1 || args.length > 2 || !valid(malId) || (args.length === 2 && !valid(episode))) return null;
  return { malId: malId!, episode };
}
