/** A part of the suite; `deno task media` runs all of it. */
import assert from "node:assert/strict";
import { runStream, type StreamResult } from "./run_stream.ts";
import { STREAMS } from "./suite.ts";
import { streamsDocument } from "./table.ts";

for (const { make, name } of STREAMS.filter(({ gate }) => gate)) {
  Deno.test(`${name} → as its source`, async () => {
    const { verdict, detail } = await runStream(await make());
    assert.equal(verdict, "right", detail);
  });
}

Deno.test("streams: the reference page → as the committed results", async () => {
  const root = new URL("../../", import.meta.url);
  const { results } = JSON.parse(await Deno.readTextFile(new URL("bench/results/media.json", root))) as {
    results: readonly StreamResult[];
  };
  assert.equal(await Deno.readTextFile(new URL("docs/reference/streams.md", root)), streamsDocument(results));
  assert.deepEqual(results.map(({ name }) => name), STREAMS.map(({ name }) => name), "run deno task media --write");
  assert.deepEqual(results.filter(({ verdict }) => verdict !== "right"), []);
});
