/**
 * Runs the whole suite and writes its results: `deno task media [--only TEXT] [--write]`.
 * Exits with 1 if a stream is archived wrongly, or rejected although it is valid.
 */
import { commandLine } from "../../cli/command_line.ts";
import { runStream, type StreamResult } from "./run_stream.ts";
import { STREAMS } from "./suite.ts";
import { streamsDocument } from "./table.ts";

const RESULTS = new URL("../../bench/results/media.json", import.meta.url);
const DOCUMENT = new URL("../../docs/reference/streams.md", import.meta.url);

const { values: { only = "", write = false } } = commandLine({
  usage: "usage: deno task media [--only TEXT] [--write]",
  options: { only: { type: "string" }, write: { type: "boolean" } },
});
const streams = STREAMS.filter(({ name }) => name.includes(only));
const results: StreamResult[] = [];
for (const stream of streams) {
  const result = await stream.make().then(runStream).catch((error): StreamResult => ({
    name: stream.name,
    expected: "kept",
    verdict: "wrong",
    detail: `the run failed: ${error.message}`,
  }));
  results.push(result);
  console.log(`${result.verdict === "right" ? "ok  " : "FAIL"} ${result.name}: ${result.verdict}, ${result.detail}`);
}
const count = (verdict: StreamResult["verdict"]) => results.filter((result) => result.verdict === verdict).length;
console.log(
  `${results.length} streams: ${count("right")} right, ${count("wrong")} wrong, ${count("rejected")} rejected, ${
    count("accepted")
  } accepted`,
);
if (write) {
  const all = await withEarlier(results);
  await Deno.writeTextFile(RESULTS, `${JSON.stringify({ results: all }, null, 2)}\n`);
  await Deno.writeTextFile(DOCUMENT, streamsDocument(all));
}
if (count("right") < results.length) Deno.exit(1);

/** With --only, the results of the other streams are kept. */
async function withEarlier(results: readonly StreamResult[]): Promise<StreamResult[]> {
  const text = await Deno.readTextFile(RESULTS).catch(() => '{"results":[]}');
  const earlier = (JSON.parse(text) as { results: StreamResult[] }).results;
  return STREAMS.flatMap(({ name }) => [...results, ...earlier].find((result) => result.name === name) ?? []);
}
