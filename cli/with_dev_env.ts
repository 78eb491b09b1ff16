// `deno task storage`: the runner's storage tasks with the environment of one system: that of --env-file, of the shell, or of the
// `deno task dev` of this machine. Example: `deno run -A cli/with_dev_env.ts runner/archive/main.ts health`.
import { runCommand } from "./command_line.ts";
import { announce, confirmChange, findTarget, PROJECT_AND_STORAGE } from "./target.ts";

/** What reads alone; whatever else there is, now or later, changes something. */
const READING_TASKS = ["", "health"];

await runCommand(async () => {
  const [program = "", ...given] = Deno.args;
  const { args, envFile, yes } = withoutOwnOptions(given);
  const [task = ""] = args.filter((arg) => !arg.startsWith("-"));
  const helps = args.some((arg) => ["--help", "-h"].includes(arg));
  const target = helps ? null : await findTarget(Deno.env.toObject(), { ...PROJECT_AND_STORAGE, envFile });
  if (target !== null) {
    announce(target);
    const changes = !READING_TASKS.includes(task) && !args.includes("--dry-run");
    if (changes) confirmChange(target, { what: `run storage ${args.join(" ")}`, yes });
  }
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", program, ...args],
    clearEnv: true,
    env: { ...(target?.env ?? Deno.env.toObject()) },
  }).spawn();
  return (await child.status).code;
});

/** --env-file and --yes are this program's; everything else is the storage task's. */
function withoutOwnOptions(given: readonly string[]) {
  const args: string[] = [];
  let envFile: string | undefined;
  let yes = false;
  for (let at = 0; at < given.length; at++) {
    const arg = given[at]!;
    if (arg === "--yes") yes = true;
    else if (arg === "--env-file") envFile = given[++at] ?? "";
    else if (arg.startsWith("--env-file=")) envFile = arg.slice("--env-file=".length);
    else args.push(arg);
  }
  return { args, envFile, yes };
}
