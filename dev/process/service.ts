/**
 * One program of the system as a child process. Its lines go to the log, it is ready when it prints or responds so, and it
 * ends, with everything that it started, on request or when this process dies.
 */
import { stripVTControlCharacters as stripAnsiCode } from "node:util";
import { readLines, settlesWithin } from "./child_process.ts";
import type { Guard } from "./guard.ts";
import { SetupError } from "./setup_error.ts";

const TAIL_LINES = 12;
const HEALTH_POLL_MS = 50;

export interface ServiceOptions {
  /** As in the log and in messages: `runner`. */
  readonly name: string;
  /** argv, starting with the program. */
  readonly command: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  readonly guard: Guard;
  readonly log: (line: string) => void;
  /** How to detect readiness: a line that it prints, or a URL that responds with a status below 500. */
  readonly ready: { readonly line: RegExp } | { readonly url: string };
  readonly startTimeoutMs?: number;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly stopMs?: number;
}

export interface Service {
  readonly name: string;
  readonly pid: number;
  /** The line that announced readiness; empty if a URL was polled. */
  readonly readyLine: string;
  /** Settles when it has ended, with how: `exit code 1`, `SIGKILL`. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

/** @throws {SetupError} if it ends or does not become ready; it is then stopped. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const [program, ...args] = options.command;
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, {
      args,
      env: options.env,
      clearEnv: true, // only the variables named here: none of the developer's own
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      detached: true,
    }).spawn();
  } catch (cause) {
    throw new SetupError("missing_program", `${options.name}: cannot run ${program}: ${(cause as Error).message}`, {
      cause,
    });
  }
  child.ref();
  options.guard.add(child.pid);
  const tail: string[] = [];
  const announced = Promise.withResolvers<string>();
  const onLine = (line: string) => {
    if (tail.push(line) > TAIL_LINES) tail.shift();
    options.log(line);
    if ("line" in options.ready && options.ready.line.test(line)) announced.resolve(line);
  };
  const drained = Promise.all([readLines(child.stdout, onLine), readLines(child.stderr, onLine)]);
  let over = false;
  const ended = child.status.then(async (status) => {
    over = true;
    endGroup(child.pid, "SIGKILL"); // processes that it left running
    await drained;
    options.guard.remove(child.pid);
    return status.signal === null ? `exit code ${status.code}` : status.signal;
  });
  const stop = async () => {
    endGroup(child.pid, "SIGTERM");
    if (await settlesWithin(ended, options.stopMs ?? 10_000)) return;
    endGroup(child.pid, "SIGKILL");
    await ended;
  };
  const ready = "line" in options.ready
    ? announced.promise
    : waitForResponse(options.ready.url, () => over).then(() => "");
  const timeoutMs = options.startTimeoutMs ?? 60_000;
  const { promise: late, resolve: giveUp } = Promise.withResolvers<"late">();
  const timer = setTimeout(() => giveUp("late"), timeoutMs);
  const first = await Promise.race([
    ready.then((line) => ({ line })),
    ended.then((how) => ({ how })),
    late,
  ]);
  clearTimeout(timer);
  if (first !== "late" && "line" in first && !over) {
    return { name: options.name, pid: child.pid, readyLine: first.line, ended, stop };
  }
  await stop();
  const how = first === "late" ? `is not ready after ${timeoutMs / 1000} s` : `ended at start (${await ended})`;
  const message = lastMessage(tail);
  if (/no space left/i.test(message)) {
    throw new SetupError(
      "disk_full",
      `no space left for the ${options.name}: free some, then start again (${message})`,
    );
  }
  throw new SetupError("part_failed", `${options.name} ${how}: ${message}`);
}

/** The most informative of a program's last lines. */
export function lastMessage(lines: readonly string[]): string {
  const plain = lines.map((line) => stripAnsiCode(line).trim()).filter(Boolean);
  const informative = plain.findLast((line) => /error|missing|taken|in use|cannot|refused|denied|no space/i.test(line));
  return informative ?? plain.at(-1) ?? "no output";
}

async function waitForResponse(url: string, over: () => boolean): Promise<void> {
  while (!over()) {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) }).catch(() => null);
    await response?.body?.cancel();
    if (response && response.status < 500) return;
    await new Promise((resolve) => setTimeout(resolve, HEALTH_POLL_MS));
  }
}

/** Signals a whole process group: `deno run` and the aria2c it started. */
function endGroup(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(-pid, signal);
  } catch {
    // the group is empty
  }
}
