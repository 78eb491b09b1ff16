// `deno task ks storage …`: runs the runner's storage tasks (runner/archive/main.ts) with the environment of the system.
import { CommandError } from "./command_line.ts";
import { announce, confirmChange, findSystem, PROJECT_AND_STORAGE } from "./system.ts";

const PROGRAM = new URL("../runner/archive/main.ts", import.meta.url).pathname;
/** Every other task, also a future one, changes something. */
const READING_TASKS = ["", "health"];

/** A process of its own: the runner reads its environment, which must not mix with the shell's. */
export async function storageCommand(
  given: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const { args, envFile, yes } = withoutOwnFlags(given);
  const [task = ""] = args.filter((arg) => !arg.startsWith("-"));
  const isHelp = args.some((arg) => ["--help", "-h"].includes(arg));
  const system = isHelp ? null : await findSystem(env, { ...PROJECT_AND_STORAGE, envFile });
  if (system !== null) {
    announce(system);
    const changes = !READING_TASKS.includes(task) && !args.includes("--dry-run");
    if (changes) confirmChange(system, { what: `run storage ${args.join(" ")}`, yes });
  }
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", PROGRAM, ...args],
    clearEnv: true,
    env: { ...(system?.env ?? env) },
  }).spawn();
  return (await child.status).code;
}

/** Takes out --env-file and --yes; all other arguments are the storage task's. */
function withoutOwnFlags(given: readonly string[]) {
  const args: string[] = [];
  let envFile: string | undefined;
  let yes = false;
  for (let at = 0; at < given.length; at++) {
    const arg = given[at]!;
    if (arg === "--yes") yes = true;
    else if (arg.startsWith("--env-file=")) envFile = arg.slice("--env-file=".length);
    else if (arg === "--env-file") {
      envFile = given[++at];
      if (envFile === undefined) throw new CommandError("--env-file needs a file");
    } else args.push(arg);
  }
  return { args, envFile, yes };
}
