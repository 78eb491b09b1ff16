/**
 * Fetches every stream of the suite through the Worker: `deno task media:browser [--only TEXT] [--write]`. The archive has to be the same
 * as without the Worker. Exits with 1 otherwise, or if the browser plays all of a refused stream.
 */
import { commandLine } from "../../cli/command_line.ts";
import { type Played, startThroughWorker } from "./browser.ts";
import { STREAMS } from "./suite.ts";

const RESULTS = new URL("../../bench/results/media-browser.json", import.meta.url);

interface Result {
  readonly name: string;
  readonly archive: string;
  /** null: a codec or container that the browser lacks. */
  readonly played: Played | null;
}

const { values: { only = "", write = false } } = commandLine({
  usage: "usage: deno task media:browser [--only TEXT] [--write]",
  options: { only: { type: "string" }, write: { type: "boolean" } },
});
const earlier: Result[] = await Deno.readTextFile(RESULTS).then((text) => JSON.parse(text).results, () => []);
const results: Result[] = [];
let faults = 0;
await using through = await startThroughWorker();
for (const { name, make } of STREAMS.filter(({ name }) => name.includes(only))) {
  const stream = await make();
  const archive = await through.archive(stream).then(
    ({ verdict, detail }) => ({ verdict, detail }),
    (error) => ({ verdict: "wrong", detail: `the run failed: ${error.message}` }),
  );
  // Another message than without the Worker is no other outcome.
  const isRight = archive.verdict === "right" ||
    stream.expected.outcome === "refused" && archive.verdict === "wrong";
  const played = stream.browser === false ? null : await through.play(stream);
  if (!isRight) faults++;
  results.push({ name, archive: isRight ? stream.expected.outcome : `${archive.verdict}: ${archive.detail}`, played });
  const end = played === null ? "not played" : `${played.end}, ${played.frames} frames, ${played.seconds} s`;
  console.log(`${isRight ? "ok  " : "FAIL"} ${name}: ${stream.expected.outcome}, ${end} ${played?.detail ?? ""}`);
  if (write) await save();
}
console.log(`${results.length} streams: ${faults} archived differently through the Worker`);
if (faults > 0) Deno.exitCode = 1; // the browser is stopped first

/** With --only, the results of the other streams are kept. */
async function save(): Promise<void> {
  const all = STREAMS.flatMap(({ name }) => [...results, ...earlier].find((result) => result.name === name) ?? []);
  await Deno.writeTextFile(RESULTS, `${JSON.stringify({ results: all }, null, 2)}\n`);
}
