/**
 * `deno task demo`: the main job on real video, told step by step. Uses the system of a running `deno task dev`, else starts one of
 * its own on free ports and stops it at the end. Exit code 0 only if every step held; `--json` prints one document for machines.
 */
import { terminalJson, terminalLines } from "../../core/terminal_text.ts";
import { commandLine } from "../../cli/command_line.ts";
import { createTeller, seconds } from "./teller.ts";
import { connect, type Connection } from "./connect.ts";
import * as story from "./story.ts";

const DEMO_MAL_ID = 55825;
const DEMO_TIMEOUT_MS = 180_000;
const USAGE = `usage: deno task demo [--json]

  --json   one JSON document on standard output instead of the story
  --help   this text

Exit codes: 0 every step held, 1 a step failed, 2 wrong arguments.`;

async function main(): Promise<number> {
  const { json } = commandLine({ usage: USAGE, options: { json: { type: "boolean", default: false } } }).values;
  const teller = createTeller({ json, terminal: Deno.stdout.isTerminal() });
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(name, () => interrupted.abort(new Error("stopped by the user")));
  }
  const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(DEMO_TIMEOUT_MS)]);
  const startedAt = performance.now();
  let ok = false;
  try {
    await tell(teller, { signal, onFailure: (reason) => interrupted.abort(reason) });
    ok = true;
  } catch (error) {
    if (!teller.steps.some((step) => !step.ok)) {
      console.error(terminalLines(error instanceof Error ? error.message : String(error)));
    }
  }
  const ms = Math.round(performance.now() - startedAt);
  if (json) console.log(terminalJson({ ok, ms, steps: teller.steps }, 2));
  teller.say(ok ? `\nEvery step held, in ${seconds(ms)}.` : "\nThe demo failed at the step marked ✗.");
  return ok ? 0 : 1;
}

async function tell(
  teller: ReturnType<typeof createTeller>,
  { signal, onFailure }: { signal: AbortSignal; onFailure: (reason: Error) => void },
): Promise<void> {
  await using connection = await teller.step(
    "system",
    () => connect({ ownSystem: false, onFailure }),
    (found) => found.started ? "started on free ports" : "the running `deno task dev` is used",
  );
  const { system, sql } = connection;
  try {
    await tellEpisode(teller, { system, sql, signal });
  } catch (error) {
    const tail = connection.logTail();
    if (tail.length > 0) console.error(terminalLines(`\nWhat the services said last:\n${tail.join("\n")}`));
    throw error;
  }
}

async function tellEpisode(
  teller: ReturnType<typeof createTeller>,
  { system, sql, signal }: Pick<Connection, "system" | "sql"> & { signal: AbortSignal },
): Promise<void> {
  const id = await story.addEpisode(system, DEMO_MAL_ID);
  teller.say(`\n  title ${id.malId}, episode ${id.episode}: new to the system\n`);

  const first = await teller.step(
    "ask",
    () => story.askEpisode(system, id, signal),
    (answer) => `answered in ${seconds(answer.tookMs)}: ${answer.servers.map((server) => server.provider).join(", ")}`,
  );
  // The viewer plays while the runner archives: neither waits for the other.
  const playing = timed(story.playAll(first, signal));
  const jobs = await teller.step(
    "archive",
    () => story.waitForArchive(sql, id, { signal, onJobs: teller.jobs }),
    (done) => `${done.length} videos downloaded, verified and stored`,
  );
  await teller.step(
    "play",
    () => playing,
    ({ value, ms }) =>
      `meanwhile, through the proxy: ${value.map((p) => `${p.provider} ${p.video} frames`).join(", ")} in ${
        seconds(ms)
      }`,
  );
  await teller.step(
    "wake",
    () => story.checkWake(sql, jobs),
    (ms) => `the commit's nudge woke the runner: first claim ${seconds(ms)} after the commit`,
  );
  const archive = await teller.step(
    "replicate",
    () => story.waitForCopies(sql, id, { copies: system.accounts.length, signal }),
    (files) => `${files.length} files kept in ${system.accounts.length} accounts`,
  );
  await teller.step(
    "compare",
    () => story.compareCopies(system, archive),
    (compared) => `${compared} copies read back, sha256 as archived`,
  );
  const second = await teller.step(
    "ask again",
    () => story.askEpisode(system, id, signal),
    (answer) => `answered in ${seconds(answer.tookMs)}, now from the archive`,
  );
  await teller.step(
    "play again",
    () => story.compareThroughProxy(system, { answer: second, archive, signal }),
    (compared) =>
      `${compared.reduce((sum, one) => sum + one.bytes, 0)} bytes through the proxy equal the archived files`,
  );
  await teller.step(
    "seek",
    () => story.seekAll({ answer: second, archive, signal }),
    (seeks) => `${seeks} seeks into the archive landed`,
  );
}

async function timed<T>(work: Promise<T>): Promise<{ value: T; ms: number }> {
  const startedAt = performance.now();
  work.catch(() => {}); // told by the step that awaits it
  return { value: await work, ms: performance.now() - startedAt };
}

if (import.meta.main) Deno.exit(await main());
