import { terminalLines } from "../../core/terminal_text.ts";

/** For a program of its own: what keeps it from starting is one line, no stack trace, and exit code 1. */
export async function orEnd<T>(starting: Promise<T>): Promise<T> {
  try {
    return await starting;
  } catch (error) {
    console.error(terminalLines(error instanceof Error ? error.message : String(error)));
    Deno.exit(1);
  }
}
