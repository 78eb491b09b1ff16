/** The progress bar of `storage verify` in a terminal. Example: `const bar = startVerifyBar(1200)`. */

import cliProgress from "cli-progress";
import { terminalLines } from "../../core/terminal_text.ts";
import type { Bar } from "./tasks.ts";

export function startVerifyBar(total: number): Bar {
  const bars = new cliProgress.MultiBar({
    format: "{bar} {value}/{total} copies, {eta_formatted} left",
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    fps: 5,
  }, cliProgress.Presets.shades_classic);
  const bar = bars.create(total, 0);
  return {
    tick: () => bar.increment(),
    log: (line) => bars.log(`${terminalLines(line)}\n`),
    stop: () => bars.stop(),
  };
}
