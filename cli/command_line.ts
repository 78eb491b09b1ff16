/**
 * Arguments and errors of every command in deno.json, in one way: `--help` prints the usage (exit code 0); a wrong argument, or
 * anything else that keeps the command from being carried out, is a message on standard error (exit code 2), never a stack trace.
 */
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { printError } from "./print.ts";
import { SetupError } from "../dev/process/setup_error.ts";

/** The command cannot be carried out as typed. The message says what to do and is all that is printed. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

class HelpRequest extends Error {}

export interface CommandLine<T extends ParseArgsOptionsConfig> {
  /** Begins with "usage:". */
  readonly usage: string;
  readonly options?: T;
  /** How many arguments may stand beside the options, or which; none when left out. */
  readonly positionals?: number | readonly string[];
}

const HELP = { help: { type: "boolean", short: "h" } } as const;

function parse<T extends ParseArgsOptionsConfig>(args: readonly string[], options: T) {
  return parseArgs({ args: [...args], options, allowPositionals: true });
}

type Parsed<T extends ParseArgsOptionsConfig> = ReturnType<typeof parse<T>>;

/** @throws {CommandError} for an argument that does not exist: a mistyped --dry-run must not write. */
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

/** The arguments of this program, as `read` takes them; ends it where they are wrong or `--help` is among them. */
export function commandLine<T extends ParseArgsOptionsConfig, R = Parsed<T>>(
  command: CommandLine<T>,
  read: (parsed: Parsed<T>) => R = (parsed) => parsed as R,
): R {
  try {
    return read(parseCommandLine(Deno.args, command));
  } catch (error) {
    endWith(error);
  }
}

/** Runs a command and ends the program with its exit code. */
export async function runCommand(command: () => Promise<number>): Promise<never> {
  try {
    Deno.exit(await command());
  } catch (error) {
    endWith(error);
  }
}

function endWith(error: unknown): never {
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

/** @throws {CommandError} when the file cannot be read, or is a folder. */
export async function readInputFile(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.replace(/^(.*?)(: \w+ '.*')$/, "$1") : String(cause);
    throw new CommandError(`cannot read ${path}: ${reason}`, { cause });
  }
}
