import { terminalLines } from "../../core/terminal_text.ts";

/** For a program: a failure to start is one line without a stack trace, and exit code 1. */
export async function exitOnError<T>(starting: Promise<T>): Promise<T> {
  try {
    return await starting;
  } catch (error) {
    console.error(terminalLines(error instanceof Error ? error.message : String(error)));
    Deno.exit(1);
  }
}
