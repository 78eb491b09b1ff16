/**
 * `deno task demo`: the main job on real video, step by step. Uses a running `deno task dev`, otherwise starts its own system on free ports
 * and stops it at the end. Exit code 0 only if all steps passed; `--json` prints one document for machines.
 */
import { terminalJson, terminalLines } from "../../core/terminal_text.ts";
import { commandLine } from "../../cli/command_line.ts";
import { createReporter, seconds } from "./reporter.ts";
import { connect, type Connection } from "./connect.ts";
import * as steps from "./demo_steps.ts";

const DEMO_MAL_ID = 55825;
const DEMO_TIMEOUT_MS = 180_000;
const USAGE = `usage: deno task demo [--json]

  --json   one JSON document on standard output instead of lines
  --help   this text

Exit codes: 0 all steps passed, 1 a step failed, 2 wrong arguments.`;

async function main(): Promise<number> {
  const { json } = commandLine({ usage: USAGE, options: { json: { type: "boolean", default: false } } }).values;
  const reporter = createReporter({ json, terminal: Deno.stdout.isTerminal() });
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => interrupted.abort(new Error("stopped by the user")));
  }
  const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(DEMO_TIMEOUT_MS)]);
  const startedAt = performance.now();
  let ok = false;
  try {
    await runDemo(reporter, { signal, onFailure: (reason) => interrupted.abort(reason) });
    ok = true;
  } catch (error) {
    if (!reporter.steps.some((step) => !step.ok)) {
      console.error(terminalLines(error instanceof Error ? error.message : String(error)));
    }
  }
  const ms = Math.round(performance.now() - startedAt);
  if (json) console.log(terminalJson({ ok, ms, steps: reporter.steps }, 2));
  reporter.print(ok ? `\nAll steps passed in ${seconds(ms)}.` : "\nThe demo failed at the step marked ✗.");
  return ok ? 0 : 1;
}

async function runDemo(
  reporter: ReturnType<typeof createReporter>,
  { signal, onFailure }: { signal: AbortSignal; onFailure: (reason: Error) => void },
): Promise<void> {
  await using connection = await reporter.step(
    "system",
    () => connect({ ownSystem: false, onFailure }),
    (found) => found.started ? "started on free ports" : "uses the running `deno task dev`",
  );
  const { system, sql } = connection;
  try {
    await runEpisode(reporter, { system, sql, signal });
  } catch (error) {
    const tail = connection.logTail();
    if (tail.length > 0) console.error(terminalLines(`\nLast log lines of the services:\n${tail.join("\n")}`));
    throw error;
  }
}

async function runEpisode(
  reporter: ReturnType<typeof createReporter>,
  { system, sql, signal }: Pick<Connection, "system" | "sql"> & { signal: AbortSignal },
): Promise<void> {
  const id = await steps.addEpisode(system, DEMO_MAL_ID);
  reporter.print(`\n  title ${id.malId}, episode ${id.episode}: new to the system\n`);

  const first = await reporter.step(
    "ask",
    () => steps.askEpisode(system, id, signal),
    (response) =>
      `responded in ${seconds(response.tookMs)}: ${response.servers.map((server) => server.provider).join(", ")}`,
  );
  // The viewer plays while the runner archives.
  const playing = timed(steps.playAll(first, signal));
  const jobs = await reporter.step(
    "archive",
    () => steps.waitForArchive(sql, id, { signal, onJobs: reporter.jobs }),
    (done) => `downloaded, verified and stored: ${done.map((job) => job.resolution).join(", ")}`,
  );
  await reporter.step(
    "play",
    () => playing,
    ({ value, ms }) =>
      `meanwhile, through the proxy: ${value.map((p) => `${p.provider} ${p.video} frames`).join(", ")} in ${
        seconds(ms)
      }`,
  );
  await reporter.step(
    "wake",
    () => steps.checkNotification(sql, jobs),
    (ms) => `the notification reached the runner: first claim ${seconds(ms)} after the commit`,
  );
  const archive = await reporter.step(
    "replicate",
    () => steps.waitForCopies(sql, id, { copies: system.accounts.length, signal }),
    (files) => `${files.length} files stored in ${system.accounts.length} accounts`,
  );
  await reporter.step(
    "compare",
    () => steps.compareCopies(system, archive),
    (compared) => `${compared} copies read back, SHA-256 as archived`,
  );
  const second = await reporter.step(
    "ask again",
    () => steps.askEpisode(system, id, signal),
    (response) => `responded in ${seconds(response.tookMs)}, now from the archive: ${listTracks(response)}`,
  );
  await reporter.step(
    "play again",
    () => steps.compareThroughProxy(system, { response: second, archive, signal }),
    (compared) =>
      `${compared.reduce((sum, one) => sum + one.bytes, 0)} bytes through the proxy equal the archived files`,
  );
  await reporter.step(
    "seek",
    () => steps.seekAll({ response: second, archive, signal }),
    (seeks) => `${seeks} seeks into the archive succeeded`,
  );
}

/** Example: "3 files, 2 of them with 2 audio languages and subtitles". */
function listTracks({ servers }: steps.EpisodeResponse): string {
  const tracks = (server: steps.ListedServer, type: string) =>
    server.media?.tracks.filter((track) => track.type === type).length ?? 0;
  const complete = servers.filter((server) => tracks(server, "audio") > 1 && tracks(server, "subtitles") > 0);
  const languages = Math.max(0, ...complete.map((server) => tracks(server, "audio")));
  return `${servers.length} files, ${complete.length} of them with ${languages} audio languages and subtitles`;
}

async function timed<T>(work: Promise<T>): Promise<{ value: T; ms: number }> {
  const startedAt = performance.now();
  work.catch(() => {}); // reported by the step that awaits it
  return { value: await work, ms: performance.now() - startedAt };
}

if (import.meta.main) Deno.exit(await main());
