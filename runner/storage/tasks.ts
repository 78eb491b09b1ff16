// The operator's storage tasks: `repair`, `verify [--share 0.05]`, `takedown <mal_id> [episode]`, `lift <mal_id> [episode]`.
// Example: `deno task storage takedown 55825 1`. Runs on: Deno.

import { parseArgs } from "node:util";
import { type ArchiveStore } from "./archive_store.ts";
import { type HealthBook, probeTargets } from "./health.ts";
import { repairOnce, type RepairTools } from "./repair.ts";
import { takeDown } from "./takedown.ts";
import type { Title } from "./target.ts";
import { verifyCopies } from "./verify.ts";

export interface TaskTools extends RepairTools {
  readonly store: ArchiveStore;
  readonly health: HealthBook;
  readonly print: (line: string) => void;
}

export const USAGE = `usage:
  deno task storage health                        how every target is, and what it holds
  deno task storage repair                        make every copy that is missing
  deno task storage verify [--share 0.05]         read copies back and hash them (all without --share)
  deno task storage takedown <mal_id> [episode]   remove copies, rows and cached links, until lifted
  deno task storage lift <mal_id> [episode] [--dry-run] [--json]   let what was taken down be archived again`;

/** Returns the exit code: 0 when nothing is left to do. */
export async function runStorageTask(args: readonly string[], tools: TaskTools): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      share: { type: "string", default: "1" },
      "dry-run": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
  const [task, ...rest] = positionals;
  if (task !== "lift" && (values["dry-run"] || values.json)) {
    tools.print(`--dry-run and --json are for lift alone\n${USAGE}`); // a takedown must not run where a dry run was meant
    return 2;
  }
  switch (task) {
    case "health":
      return await health(tools);
    case "repair":
      return await repair(tools);
    case "verify":
      return await verify(Number(values.share), tools);
    case "takedown":
      return await takedown(rest, tools);
    case "lift":
      return await lift(rest, { tools, dryRun: values["dry-run"], json: values.json });
    default:
      tools.print(USAGE);
      return 2;
  }
}

async function health(tools: TaskTools): Promise<number> {
  await probeTargets(tools.targets, tools);
  for (const { target, state, usedBytes, message } of tools.health.all()) {
    const size = usedBytes === null ? "" : `, ${(usedBytes / 1e9).toFixed(1)} GB`;
    tools.print(`${target}: ${state}${size}${message ? ` – ${message}` : ""}`);
  }
  return tools.health.all().every(({ state }) => state === "ok") ? 0 : 1;
}

async function repair(tools: TaskTools): Promise<number> {
  const planned = await tools.store.planRepairs(tools.targets.map((target) => target.name));
  tools.print(`${planned} copies are new to make`);
  let failed = 0;
  for (let claimed = 1; claimed > 0;) {
    const round = await repairOnce({
      ...tools,
      onOutcome: (repair, outcome) => {
        const error = "error" in outcome && outcome.error ? ` – ${outcome.error}` : "";
        const { malId, episode } = repair.archive;
        tools.print(`${malId} episode ${episode} on ${repair.target}: ${outcome.state}${error}`);
      },
    });
    failed += round.failed;
    claimed = round.verified + round.failed; // what was given back at once would come again for ever
  }
  return failed > 0 ? 1 : 0;
}

async function verify(share: number, tools: TaskTools): Promise<number> {
  if (!(share > 0 && share <= 1)) {
    tools.print("--share is a number above 0, at most 1");
    return 2;
  }
  const counts = await verifyCopies({
    ...tools,
    share,
    random: Math.random,
    onCopy: (copy, verdict) => {
      if (verdict !== "sound") tools.print(`${copy.target} ${copy.address.path}: ${verdict}`);
    },
  });
  tools.print(Object.entries(counts).map(([verdict, count]) => `${count} ${verdict}`).join(", "));
  return counts.missing + counts.damaged > 0 ? 1 : 0;
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
