// Arguments, errors and exit codes of every program in deno.json. `--help` prints the usage. A wrong argument, or anything else that
// prevents the command from running, is a message on standard error (exit code 2), never a stack trace.
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { printError } from "./print.ts";
import { SetupError } from "../dev/process/setup_error.ts";

/** Exit codes of every command, for its help. */
export const EXIT_CODES =
  "Exit codes: 0 done, 1 failed or problems found, 2 wrong use: arguments, files, or no system.";

/** The command cannot run as typed (exit code 2). Only the message is printed; it says what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** `--help` was given; the message is the usage. */
export class HelpRequest extends Error {}

export interface CommandLine<T extends ParseArgsOptionsConfig> {
  /** Begins with "usage:". */
  readonly usage: string;
  readonly options?: T;
  /** The number of arguments besides the options, or the allowed ones. @default 0 */
  readonly positionals?: number | readonly string[];
}

const HELP = { help: { type: "boolean", short: "h" } } as const;

function parse<T extends ParseArgsOptionsConfig>(args: readonly string[], options: T) {
  return parseArgs({ args: [...args], options, allowPositionals: true });
}

type Parsed<T extends ParseArgsOptionsConfig> = ReturnType<typeof parse<T>>;

/** @throws {CommandError} for an unknown argument: a mistyped --dry-run must not write. */
export function parseCommandLine<T extends ParseArgsOptionsConfig>(
  args: readonly string[],
  { usage, options, positionals = 0 }: CommandLine<T>,
): Parsed<T> {
  let parsed;
  try {
    parsed = parse(args, { ...options, ...HELP });
  } catch (error) {
    throw new CommandError(`${(error as Error).message}\n${usage}`);
  }
  if ("help" in parsed.values) throw new HelpRequest(usage);
  const extra = typeof positionals === "number"
    ? parsed.positionals[positionals]
    : parsed.positionals.find((one) => !positionals.includes(one));
  if (extra !== undefined) throw new CommandError(`unexpected argument ${extra}\n${usage}`);
  return parsed as Parsed<T>;
}

/** Parses the arguments of this program, optionally with `read`. Exits if they are wrong or contain `--help`. */
export function commandLine<T extends ParseArgsOptionsConfig, R = Parsed<T>>(
  command: CommandLine<T>,
  read: (parsed: Parsed<T>) => R = (parsed) => parsed as R,
): R {
  try {
    return read(parseCommandLine(Deno.args, command));
  } catch (error) {
    exitWith(error);
  }
}

/** Runs a command and exits with its code. */
export async function runCommand(command: () => Promise<number>): Promise<never> {
  try {
    Deno.exit(await command());
  } catch (error) {
    exitWith(error);
  }
}

function exitWith(error: unknown): never {
  if (error instanceof HelpRequest) {
    console.log(error.message);
    Deno.exit(0);
  }
  if (error instanceof SetupError) {
    printError(error.message);
    Deno.exit(1);
  }
  if (!(error instanceof CommandError)) throw error;
  printError(error.message);
  Deno.exit(2);
}

/** @throws {CommandError} unless the text is a whole number within the limits. */
export function wholeNumber(text: string, name: string, { min, max }: { min: number; max: number }): number {
  const number = Number(text);
  if (/^-?\d+$/.test(text) && number >= min && number <= max) return number;
  throw new CommandError(`${name} must be a whole number from ${min} to ${max}, not ${text}`);
}

/** @throws {CommandError} if the path cannot be read or is a directory */
export async function readInputFile(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replace(/^(.*?)(: \w+ '.*')$/, "$1") : String(cause);
    throw new CommandError(`cannot read ${path}: ${reason}`, { cause });
  }
}
