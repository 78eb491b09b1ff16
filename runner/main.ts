/**
 * The runner. `deno run -A runner/main.ts` serves until SIGTERM; `runner/main.ts run-once` drains the queue and exits with 0 (everything
 * archived), 2 (a video failed), 1 (could not start or reach the queue) or 130 (interrupted). Needs aria2c, ffmpeg and ffprobe on PATH.
 */
import { terminalLines } from "../core/terminal_text.ts";
import { parseEnv } from "./env.ts";
import { logEvents } from "./events.ts";
import { hideFromChildren } from "./process/harden.ts";
import { showBars } from "./progress_bars.ts";
import { startRunner } from "./service.ts";

const once = Deno.args[0] === "run-once";
const failed = new Set<string>();
let asked: string | null = null;
let stop = () => {};
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.addSignalListener(signal, () => {
    if (asked !== null) Deno.exit(130); // a second signal forces
    asked = signal;
    stop();
  });
}
try {
  hideFromChildren();
  const env = parseEnv(Deno.env.toObject());
  const runner = await startRunner(env, {
    once,
    onEvents: (events) => {
      events.on((event) => {
        if (event.event === "job:failed") failed.add(event.id);
        if (event.event === "job:finished") failed.delete(event.id); // another candidate succeeded
      });
      if (once && Deno.stdout.isTerminal()) showBars(events);
      else logEvents(events, console.log, () => new Date());
    },
  });
  stop = () => runner.stop(asked!);
  if (asked !== null) stop();
  await runner.finished;
  Deno.exit(!once ? 0 : asked !== null ? 130 : failed.size > 0 ? 2 : 0);
} catch (error) {
  console.error(terminalLines(error instanceof Error ? error.message : String(error)));
  Deno.exit(1);
}
