/**
 * Reports the demo to a person (lines and, on a terminal, a progress bar per job) or to a machine (one JSON document).
 * Example: `const episode = await reporter.step("ask", () => askEpisode(…), (response) => "responded in …")`.
 */
import cliProgress from "cli-progress";
import { terminalLines, terminalText } from "../../core/terminal_text.ts";
import type { Job } from "./demo_steps.ts";

export interface StepReport {
  readonly step: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly detail: string;
}

export interface Reporter {
  readonly steps: readonly StepReport[];
  print(line: string): void;
  /** Runs one step and reports its outcome; a failure is reported and rethrown. */
  step<T>(step: string, run: () => Promise<T>, detail: (value: T) => string): Promise<T>;
  /** Shows the state of every job. Called repeatedly until all are done. */
  jobs(jobs: readonly Job[]): void;
}

export function createReporter(options: { json: boolean; terminal: boolean }): Reporter {
  const steps: StepReport[] = [];
  const print = (line: string) => options.json ? undefined : console.log(terminalLines(line));
  const showJobs = options.json ? () => {} : options.terminal ? jobBars() : jobLines(print);
  return {
    steps,
    print,
    jobs: showJobs,
    async step(step, run, detail) {
      const startedAt = performance.now();
      const report = (ok: boolean, text: string) => {
        const ms = Math.round(performance.now() - startedAt);
        steps.push({ step, ok, ms, detail: text });
        print(`${ok ? "✓" : "✗"} ${step.padEnd(12)} ${terminalText(text)}  (${seconds(ms)})`);
      };
      try {
        const value = await run();
        report(true, detail(value));
        return value;
      } catch (error) {
        report(false, error instanceof Error ? error.message : String(error));
        throw error;
      }
    },
  };
}

export function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function nameOf(job: Job): string {
  return terminalText(`${job.provider} ${job.resolution ?? "–"}`);
}

/** Progress within the job's phase in percent; null while the total is unknown. */
function percentOf(job: Job): number | null {
  if (job.status === "ready") return 100;
  const { bytes_done, bytes_total } = job.progress;
  return bytes_done === undefined || !bytes_total ? null : Math.min(100, Math.floor((bytes_done / bytes_total) * 100));
}

function phaseOf(job: Job): string {
  if (job.status === "ready" || job.status === "failed") return job.status;
  return terminalText(job.progress.phase ?? job.status);
}

function jobBars(): (jobs: readonly Job[]) => void {
  let bars: cliProgress.MultiBar | null = null;
  const byJob = new Map<string, cliProgress.SingleBar>();
  return (jobs) => {
    bars ??= new cliProgress.MultiBar(
      {
        format: "    {name} {bar} {percentage} % {phase}",
        hideCursor: true,
        clearOnComplete: false,
        emptyOnZero: true,
        barsize: 30,
      },
      cliProgress.Presets.shades_classic,
    );
    for (const job of jobs) {
      const name = nameOf(job).padEnd(18);
      const bar = byJob.get(name) ?? bars.create(100, 0, { name, phase: "" });
      byJob.set(name, bar);
      bar.update(percentOf(job) ?? 0, { name, phase: phaseOf(job).padEnd(12) });
    }
    if (jobs.length > 0 && jobs.every((job) => job.status === "ready" || job.status === "failed")) bars.stop();
  };
}

/** Without a terminal: one line per phase that a job enters. */
function jobLines(print: (line: string) => void): (jobs: readonly Job[]) => void {
  const printed = new Map<string, string>();
  return (jobs) => {
    for (const job of jobs) {
      const phase = phaseOf(job);
      if (printed.get(nameOf(job)) === phase) continue;
      printed.set(nameOf(job), phase);
      const percent = percentOf(job);
      print(`    ${nameOf(job).padEnd(18)} ${phase}${percent === null ? "" : ` ${percent} %`}`);
    }
  };
}
