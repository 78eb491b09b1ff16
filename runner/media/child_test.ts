import assert from "node:assert/strict";
import { KeepstreamError } from "../../core/errors.ts";
import { runChildForText, runChildOrThrow } from "../process/child.ts";
import { probeMedia } from "./verify.ts";

const { signal } = new AbortController();

/** Process id of our child with that name, once it runs. */
async function childPid(program: string): Promise<number> {
  for (;;) {
    const { stdout } = await new Deno.Command("pgrep", { args: ["-P", String(Deno.pid), "-x", program] }).output();
    const pid = Number(new TextDecoder().decode(stdout));
    if (pid > 0) return pid;
  }
}

/** Reads stdin to its end, and writes as soon as it has opened it: a signal before that ends it as an unreadable input does. */
const waiting = [
  "-nostats",
  "-v",
  "error",
  "-f",
  "s16le",
  "-i",
  "pipe:0",
  "-flush_packets",
  "1",
  "-f",
  "s16le",
  "pipe:1",
];
const SILENCE = new Uint8Array(64 * 1024);
const pause = () => new Promise((done) => setTimeout(done, 5));

function assertRetryable(error: unknown, message: RegExp): true {
  assert.ok(error instanceof KeepstreamError, String(error));
  assert.deepEqual([error.code, error.retryable], ["unknown", true], error.message);
  assert.match(error.message, message);
  return true;
}

for (const name of ["SIGKILL", "SIGTERM", "SIGINT", "SIGSEGV"] as const) {
  Deno.test(`child: ffmpeg ends by ${name} → retryable, named in the message`, async () => {
    const feed = async (write: (bytes: Uint8Array) => Promise<boolean>) => {
      const pid = await childPid("ffmpeg");
      while (await write(SILENCE) && !started) await pause();
      Deno.kill(pid, name);
      // Without the end of its input, which would be another reason to end.
      while (await write(SILENCE)) await pause();
    };
    let started = false;
    const run = runChildOrThrow("ffmpeg", waiting, { signal, feed, onStdout: () => started = true });
    await assert.rejects(run, (error) => assertRetryable(error, /ffmpeg was (killed by|stopped by a) /));
  });
}

Deno.test("child: ffprobe is killed while reading → retryable, not unsupported", async () => {
  const dir = await Deno.makeTempDir();
  const fifo = `${dir}/a.mp4`; // what reads it waits for a writer
  await new Deno.Command("mkfifo", { args: [fifo] }).output();
  const probing = probeMedia(fifo, { format: "mov", signal });
  probing.catch(() => {});
  Deno.kill(await childPid("ffprobe"), "SIGKILL");
  await assert.rejects(probing, (error) => assertRetryable(error, /ffprobe was killed by SIGKILL/));
  await Deno.remove(dir, { recursive: true });
});

Deno.test("child: out of memory → retryable; other exit codes → unsupported", async () => {
  const say = (text: string, code: number) =>
    runChildOrThrow("sh", ["-c", `echo "$0" >&2; exit ${code}`, text], { signal });
  await assert.rejects(
    say("Error opening input: Cannot allocate memory", 1),
    (error) => assertRetryable(error, /memory/),
  );
  await assert.rejects(say("Invalid data found when processing input", 1), { code: "unsupported" });
  assert.match(await say("Cannot allocate memory", 0), /memory/);
});

Deno.test("child: a full, read-only or over-quota disk → disk_full", async () => {
  for (const text of ["No space left on device", "Read-only file system", "Disk quota exceeded"]) {
    for (const code of [0, 1]) {
      const run = runChildForText("sh", ["-c", `echo "av_write: $0" >&2; exit ${code}`, text], { signal });
      await assert.rejects(run, { code: "disk_full" }, text);
    }
  }
});
