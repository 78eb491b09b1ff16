// Every shape of every resolver on five generated pages, each with the media of advertisements, trailers and previews around it.
import assert from "node:assert/strict";
import { SHAPE_PAGES } from "../../dev/emulators/sites/shapes/all.ts";
import { sitesOf } from "../../dev/emulators/sites/shapes/page.ts";
import { EXPIRES, PAGE_URL, VARIANTS } from "../../dev/emulators/sites/shapes/variant.ts";
import { createSites } from "../../dev/emulators/sites/sites.ts";
import { FAMILIES, resolveServer } from "./index.ts";

Deno.test("shapes: registry → pages for each, seven or more per family", () => {
  for (const { name, shapes } of FAMILIES) {
    const names = shapes.map((shape) => shape.name);
    assert.deepEqual(Object.keys(SHAPE_PAGES[name] ?? {}).toSorted(), names.toSorted(), name);
    assert.equal(new Set(names).size, names.length);
    assert.ok(names.length >= 7, name);
  }
  assert.equal(VARIANTS.length, 5);
});

for (const { name: family, shapes } of FAMILIES) {
  for (const { name: shape } of shapes) {
    for (const [index, variant] of VARIANTS.entries()) {
      Deno.test(`${family}: ${shape}, page ${index + 1} → its media`, async () => {
        const page = SHAPE_PAGES[family]![shape]!(variant);
        const { fetch, requests } = createSites(sitesOf(page));
        const tools = { fetch, signal: new AbortController().signal, now: Date.now };
        const resolved = await resolveServer({ embedUrl: `${PAGE_URL}${page.path ?? ""}` }, tools);
        assert.deepEqual(
          { url: resolved.url, kind: resolved.kind, shape: resolved.shape, expiresAt: resolved.expiresAt },
          { url: page.url, kind: page.kind, shape: `${family}: ${shape}${page.then ?? ""}`, expiresAt: EXPIRES },
          page.html,
        );
        assert.deepEqual(requests.filter((request) => request.includes("//decoy.test/")), []);
      });
    }
  }
}
