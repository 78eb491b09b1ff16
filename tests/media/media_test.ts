/** A part of the suite; `deno task media` runs all of it. */
import assert from "node:assert/strict";
import { runStream } from "./run_stream.ts";
import { STREAMS } from "./suite.ts";

for (const { make, name } of STREAMS.filter(({ gate }) => gate)) {
  Deno.test(`${name} → as its source`, async () => {
    const { verdict, detail } = await runStream(await make());
    assert.equal(verdict, "right", detail);
  });
}
