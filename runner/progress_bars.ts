/** Progress in the terminal for `run-once`: a bar per running job, a line per ended job. Example: `showBars(events)`. */
import cliProgress from "cli-progress";
import { terminalText } from "../core/terminal_text.ts";
import type { Events, RunnerEvent } from "./events.ts";

export type Bars = {
  readonly create: (total: number, start: number, payload: object) => Bar;
  readonly remove: (bar: Bar) => unknown;
  readonly log: (line: string) => void;
  readonly stop: () => void;
};
type Bar = { setTotal: (total: number) => void; update: (value: number, payload: object) => void };

/** `bars` is cli-progress's MultiBar. */
export function showBars(events: Events, bars: Bars = createBars()): void {
  const open = new Map<string, { bar: Bar; name: string }>();

  function close(id: string, outcome: string): void {
    const job = open.get(id);
    if (job === undefined) return;
    open.delete(id);
    bars.log(`${job.name}: ${terminalText(outcome)}\n`);
    bars.remove(job.bar); // redraws, and with it prints the line; lines logged when the bars stop are lost
  }

  /** Without a bar, nothing is redrawn and logged lines are lost. */
  function say(text: string): void {
    const line = terminalText(text);
    if (open.size > 0) bars.log(`${line}\n`);
    else console.error(line);
  }

  events.on((event) => {
    switch (event.event) {
      case "job:claimed": {
        const { provider, malId, episode, resolution } = event;
        const name = terminalText(`${provider} ${malId}/${episode} ${resolution ?? ""}`.trimEnd());
        open.set(event.id, { name, bar: bars.create(1, 0, { name, phase: "resolving", speed: "", eta: "" }) });
        break;
      }
      case "job:progress":
        update(open.get(event.id)?.bar, event);
        break;
      case "job:finished":
        return close(
          event.id,
          `archived, ${event.copies} ${event.copies === 1 ? "copy" : "copies"}, ${(event.ms / 1000).toFixed(1)} s`,
        );
      case "job:failed":
        return close(event.id, `failed (${event.code}): ${event.message}`);
      case "job:released":
      case "job:lost":
        return close(event.id, `${event.event.slice("job:".length)}: ${event.reason}`);
      case "queue:unavailable":
        say(`the queue is unavailable (${event.during}): ${event.message}`);
        break;
      case "claims:paused":
        say(`claims paused: ${event.reason}`);
        break;
      case "claims:resumed":
        say("claiming again");
        break;
      case "runner:stopped":
        bars.stop();
    }
  });
}

function update(bar: Bar | undefined, event: Extract<RunnerEvent, { event: "job:progress" }>): void {
  if (bar === undefined) return;
  bar.setTotal(event.bytesTotal ?? Math.max(1, event.bytesDone * 2)); // an unknown size must not look finished
  bar.update(event.bytesDone, {
    phase: event.phase,
    speed: event.bytesPerSecond > 0 ? `${(event.bytesPerSecond / 1e6).toFixed(1)} MB/s` : "",
    eta: event.etaSeconds === null ? "" : `${event.etaSeconds} s left`,
  });
}

function createBars(): Bars {
  return new cliProgress.MultiBar({
    format: "{name} {bar} {percentage} % {phase} {speed} {eta}",
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    fps: 5,
  }, cliProgress.Presets.shades_classic) as unknown as Bars;
}
