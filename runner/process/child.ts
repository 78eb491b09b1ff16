/**
 * Runs ffmpeg, ffprobe or aria2c: argv arrays, an empty environment, a bounded tail of stderr, SIGTERM, then SIGKILL.
 * Example: `await runChild("ffprobe", ["-version"], { signal })`.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { redactText } from "../../core/redact.ts";
import { saysDiskFull } from "../work_dir/disk_full_text.ts";

const STDERR_TAIL_BYTES = 4096;
const MAX_TEXT = 1 << 20;
const FORCE_KILL_MS = 3000;
/** Exit codes of ffmpeg after SIGINT and SIGTERM, which it catches. */
const FFMPEG_INTERRUPTED = [255, 123];
const MACHINE_WORDS = /Cannot allocate memory|Resource temporarily unavailable|Too many open files/i;
/** The whole environment of a child: none of our secrets. */
export const CHILD_ENV = { PATH: "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin", LC_ALL: "C" };

export type ChildOptions = {
  readonly signal: AbortSignal;
  readonly cwd?: string;
  /** Writes to stdin, which is then closed. `write` returns false if the child reads no more. */
  readonly feed?: (write: (bytes: Uint8Array) => Promise<boolean>) => Promise<void>;
  /** Called with each chunk of stdout. @default stdout is discarded */
  readonly onStdout?: (piece: Uint8Array) => void;
};

export type ChildResult = { readonly code: number; readonly stderr: string };

/**
 * Resolves with the exit code. Throws the signal's reason if it was aborted, and failures that do not concern the video: a full disk, a
 * child killed from outside, a machine without memory.
 */
export async function runChild(program: string, args: readonly string[], options: ChildOptions): Promise<ChildResult> {
  options.signal.throwIfAborted();
  const child = spawn(program, args, options);
  const stop = terminateOn(options.signal, child);
  try {
    const [status, stderr] = await Promise.all([
      child.status,
      readTail(child.stderr),
      options.onStdout ? readAll(child.stdout, options.onStdout) : Promise.resolve(),
      options.feed ? feed(child, options.feed) : Promise.resolve(),
    ]);
    options.signal.throwIfAborted();
    const failure = machineFailure(program, status, stderr);
    if (failure !== null) throw failure;
    return { code: status.code, stderr };
  } finally {
    stop();
  }
}

/** Like runChild; throws with the last lines of stderr unless the exit code is 0. */
export async function runChildOrThrow(
  program: string,
  args: readonly string[],
  options: ChildOptions,
): Promise<string> {
  const { code, stderr } = await runChild(program, args, options);
  if (code === 0) return stderr;
  throw new KeepstreamError("unsupported", `${program} failed (${code}): ${lastLines(stderr)}`);
}

/** A failure of the machine, not of the input; null if the exit code is the program's own. */
export function machineFailure(
  program: string,
  { code, signal }: Deno.CommandStatus,
  stderr: string,
): KeepstreamError | null {
  // Checked first: ffmpeg exits with 0 if there was no space for the index of its output.
  if (saysDiskFull(stderr)) return new KeepstreamError("disk_full", `${program}: no space left`);
  if (signal !== null) {
    const hint = signal === "SIGKILL" ? "; did it run out of memory? (mem_limit)" : "";
    return new KeepstreamError("unknown", `${program} was killed by ${signal}${hint}`);
  }
  if (program === "ffmpeg" && FFMPEG_INTERRUPTED.includes(code)) {
    return new KeepstreamError("unknown", `ffmpeg was stopped by a signal (exit code ${code})`);
  }
  if (code !== 0 && MACHINE_WORDS.test(stderr)) {
    return new KeepstreamError("unknown", `${program} lacked resources (${code}): ${lastLines(stderr)}`);
  }
  return null;
}

/** Like runChild, and returns the output, which must be small. */
export async function runChildForText(
  program: string,
  args: readonly string[],
  options: ChildOptions,
): Promise<ChildResult & { stdout: string }> {
  const decoder = new TextDecoder();
  let stdout = "";
  const onStdout = (piece: Uint8Array) => {
    if (stdout.length < MAX_TEXT) stdout += decoder.decode(piece, { stream: true });
  };
  const result = await runChild(program, args, { ...options, onStdout });
  return { ...result, stdout };
}

/** The failure of a child that was killed. */
export function killedBy(program: string, signal: Deno.Signal): KeepstreamError {
  const hint = signal === "SIGKILL" ? "; was memory short? (see mem_limit in docs/reference/runner.md)" : "";
  return new KeepstreamError("unknown", `${program} was killed by ${signal}${hint}`);
}

export function lastLines(stderr: string): string {
  return redactText(stderr.trim().split("\n").slice(-3).join(" | ")).slice(0, 500);
}

function spawn(program: string, args: readonly string[], options: ChildOptions): Deno.ChildProcess {
  try {
    return new Deno.Command(program, {
      args: [...args],
      clearEnv: true,
      env: CHILD_ENV,
      stdin: options.feed ? "piped" : "null",
      stdout: options.onStdout ? "piped" : "null",
      stderr: "piped",
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    }).spawn();
  } catch (cause) {
    throw new KeepstreamError("unknown", `${program} cannot be started: is it installed and on PATH?`, { cause });
  }
}

function terminateOn(signal: AbortSignal, child: Deno.ChildProcess): () => void {
  let force: ReturnType<typeof setTimeout> | undefined;
  const terminate = () => {
    kill(child, "SIGTERM");
    force = setTimeout(() => kill(child, "SIGKILL"), FORCE_KILL_MS);
  };
  signal.addEventListener("abort", terminate, { once: true });
  return () => {
    signal.removeEventListener("abort", terminate);
    clearTimeout(force);
  };
}

export function kill(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // it has ended
  }
}

async function feed(
  child: Deno.ChildProcess,
  source: (write: (bytes: Uint8Array) => Promise<boolean>) => Promise<void>,
): Promise<void> {
  const writer = child.stdin.getWriter();
  const write = async (bytes: Uint8Array) => {
    try {
      await writer.write(bytes);
      return true;
    } catch {
      return false; // the child has ended; its exit code and stderr have the reason
    }
  };
  try {
    await source(write);
  } catch (error) {
    kill(child, "SIGKILL");
    throw error;
  } finally {
    await writer.close().catch(() => {});
  }
}

async function readAll(stream: ReadableStream<Uint8Array>, onPiece: (piece: Uint8Array) => void): Promise<void> {
  for await (const piece of stream) onPiece(piece);
}

/** The last kilobytes of stderr, however much a child writes. */
export async function readTail(stream: ReadableStream<Uint8Array>): Promise<string> {
  let tail = "";
  const decoder = new TextDecoder();
  for await (const piece of stream) {
    tail += decoder.decode(piece.length > STDERR_TAIL_BYTES ? piece.subarray(-STDERR_TAIL_BYTES) : piece);
    if (tail.length > 2 * STDERR_TAIL_BYTES) tail = tail.slice(-STDERR_TAIL_BYTES);
  }
  return tail.slice(-STDERR_TAIL_BYTES);
}
