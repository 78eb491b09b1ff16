/**
 * The runner: `deno run -A runner/main.ts` serves until SIGTERM, `… runner/main.ts run-once` drains the queue and exits.
 * Runs on: Deno with aria2c, ffmpeg and ffprobe on PATH.
 */
import { parseEnv } from "./env.ts";
import { logEvents } from "./events.ts";
import { hideFromChildren } from "./harden.ts";
import { showBars } from "./progress_bars.ts";
import { startRunner } from "./service.ts";

const once = Deno.args[0] === "run-once";
try {
  hideFromChildren();
  const env = parseEnv(Deno.env.toObject());
  const runner = await startRunner(env, {
    once,
    onEvents: (events) =>
      once && Deno.stdout.isTerminal() ? showBars(events) : logEvents(events, console.log, () => new Date()),
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    let asked = false;
    Deno.addSignalListener(signal, () => {
      if (asked) Deno.exit(130); // the second time means now
      asked = true;
      runner.stop(signal);
    });
  }
  await runner.finished;
  Deno.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  Deno.exit(1);
}
