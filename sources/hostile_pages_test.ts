// Pages that are expensive to read: each is refused or read in linear time. A quadratic reader would take hours on these, so the test
// would not end. bench/streaming measures the growth.
import assert from "node:assert/strict";
import { HOSTILE_PAGES } from "../dev/emulators/sites/hostile_pages.ts";
import { createSites, htmlResponse } from "../dev/emulators/sites/sites.ts";
import { collectSources } from "./collect.ts";
import { parseEpisodeLabel } from "./page/episode_label.ts";
import { createPageClient } from "./fetch/page_client.ts";
import { RECIPE_NAMES } from "./recipes/recipes.ts";
import { resolveServer } from "./resolvers/index.ts";
import { SourceError } from "./source_error.ts";
import { tags } from "./page/tags.ts";
import { titleIdentity } from "./discovery/title_identity.ts";

const HALF_A_MEGABYTE = 512 * 1024;

for (const [name, make] of Object.entries(HOSTILE_PAGES)) {
  Deno.test(`hostile page, ${name}: 512 KiB → every reader ends with a result`, async () => {
    const html = make(HALF_A_MEGABYTE).slice(0, HALF_A_MEGABYTE);
    const { fetch } = createSites({ "a.test": () => htmlResponse(html) });
    const tools = { fetch, signal: new AbortController().signal, now: Date.now };
    for (const recipe of RECIPE_NAMES) {
      const provider = { name: "p", recipe, base_url: "https://a.test", config: {} };
      const list = await collectSources({ malId: 1, episode: 1, provider, page: "/x", catalogue: null }, tools);
      assert.ok(list.state === "ok" || list.code !== null);
    }
    await resolveServer({ embedUrl: "https://a.test/e" }, tools).catch((error) =>
      assert.ok(error instanceof SourceError)
    );
  });
}

Deno.test("hostile HTML: depth, attributes, brackets → too_large before a tree", async () => {
  for (const name of ["elements with attributes", "depth", "iframes", "angle brackets"] as const) {
    const { fetch } = createSites({ "a.test": () => htmlResponse(HOSTILE_PAGES[name](HALF_A_MEGABYTE)) });
    const pages = createPageClient({ fetch, signal: new AbortController().signal });
    await assert.rejects(
      pages.document("https://a.test/"),
      (error) => error instanceof SourceError && error.reason === "too_large",
      name,
    );
  }
});

Deno.test("unclosed comment, quote, tag or script → tags before it only", () => {
  for (const end of ["<!-- <a href=1>", '<a href="<b>', "<a <b", "<script><a href=1>"]) {
    assert.deepEqual([...tags(`<i>${end}${"<p>".repeat(3)}`.slice(0, 40))].map((tag) => tag.name).slice(0, 1), ["i"]);
    assert.ok(![...tags(`<i>${end}`)].some((tag) => tag.name === "b"));
  }
});

Deno.test("megabyte of blanks or digits in a label → only its start is read", () => {
  for (const filling of [" ", "2", "(", " 2", "season ", "[end", "ep "]) {
    const text = "Some Title" + filling.repeat(1_000_000 / filling.length) + "x";
    assert.ok(titleIdentity(text).words.length < 400);
    assert.ok(["episodes", "special", "unknown"].includes(parseEpisodeLabel(text).kind));
  }
});
