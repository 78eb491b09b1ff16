import assert from "node:assert/strict";
import { checkProviderList } from "./entry.ts";

const qualitiesOf = (qualities: unknown) => {
  const checked = checkProviderList([{ name: "own", recipe: "catalogue", qualities }]);
  return checked.ok ? checked.value[0]!.qualities : checked.error[0]!.reasons;
};

Deno.test("qualities: label, all, heights in several notations → one notation", () => {
  const given = ["label", "all", "720,360", " 360p, 720P ,360", [360, 1080], "144", null, undefined];
  assert.deepEqual(given.map(qualitiesOf), [
    ...["label", "all", "720,360", "720,360", "1080,360", "144", null, null],
  ]);
});

Deno.test("qualities: anything else → refused with what is possible", () => {
  const many = Array.from({ length: 17 }, (_, i) => 100 + i);
  for (const given of ["", "best", "720,", "all,720", "99999", "0720", [], [0], [720.5], ["720"], many, 720, {}]) {
    assert.deepEqual(qualitiesOf(given), ["qualities: must be label, all, or 1 to 16 heights such as 720,360"]);
  }
});
