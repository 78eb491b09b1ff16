// Finds the command that was typed, or suggests one. Example: await ks(["videos", "--json"], env) → 0.
import { similarity } from "../core/similarity.ts";
import { CommandError, EXIT_CODES, HelpRequest } from "./command_line.ts";
import { COMMANDS } from "./commands.ts";

const NAMES = Object.keys(COMMANDS);
const WIDTH = Math.max(...NAMES.map((name) => name.length));

const USAGE = `usage: deno task ks <command> [arguments]

${Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(WIDTH)}  ${summary}`).join("\n")}

\`deno task ks <command> --help\` explains a command. Commands that print data take --json.
${EXIT_CODES}`;

/** Returns the exit code. @throws {CommandError | HelpRequest} */
export async function ks(args: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const [name, ...rest] = args;
  if (name === "--help" || name === "-h" || name === "help") throw new HelpRequest(USAGE);
  if (name === undefined) throw new CommandError(USAGE);
  if (name.startsWith("-")) throw new CommandError(`unknown option ${name}\n${USAGE}`);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new CommandError(unknown(name));
  return await (await command.load())(rest, env);
}

const MIN_SIMILARITY = 0.5;

function unknown(name: string): string {
  const [best] = NAMES.map((one) => ({ one, score: similarity(name.toLowerCase(), one) }))
    .sort((a, b) => b.score - a.score);
  const hint = best!.score >= MIN_SIMILARITY ? `did you mean ${best!.one}?` : `there are ${NAMES.join(", ")}`;
  return `unknown command ${name}: ${hint} (deno task ks --help)`;
}
