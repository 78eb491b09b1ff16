// What a page costs is counted in characters, expressions and values: it grows with the page, and is limited.
import assert from "node:assert/strict";
import { HOSTILE_PAGES } from "../../dev/emulators/sites/hostile_pages.ts";
import { HOSTILE_SCRIPTS } from "../../dev/emulators/sites/hostile_scripts.ts";
import { SHAPE_PAGES } from "../../dev/emulators/sites/shapes/all.ts";
import { sitesOf } from "../../dev/emulators/sites/shapes/page.ts";
import { PAGE_URL, VARIANTS } from "../../dev/emulators/sites/shapes/variant.ts";
import { createSites, htmlResponse } from "../../dev/emulators/sites/sites.ts";
import { createPageClient } from "../fetch/page_client.ts";
import { createParseBudget, MAX_PAGE_WORK, type ParseBudget } from "../page/parse_budget.ts";
import { SourceError } from "../source_error.ts";
import { FAMILIES, resolveServer } from "./index.ts";
import { readPlayerPage } from "./player_page.ts";

const URL_OF_PAGE = "https://a.test/e";
const SMALL = 40_000;
const LARGE = 1_000_000;
const tooLarge = (error: unknown) => error instanceof SourceError && error.reason === "too_large";
const signal = new AbortController().signal;

/** The work of reading a page and of all shapes on it; null if the page is refused. No request succeeds. */
async function workOn(html: string, budget: ParseBudget): Promise<number | null> {
  const tools = {
    pages: createPageClient({ fetch: () => Promise.reject(new TypeError("offline")), signal }),
    signal,
    now: Date.now,
  };
  const before = budget.workLeft;
  try {
    const page = readPlayerPage({ url: URL_OF_PAGE, html }, budget);
    for (const { shapes } of FAMILIES) {
      for (const { find } of shapes) {
        await Promise.resolve().then(() => find(page, tools)).catch((error) => {
          if (!(error instanceof SourceError) || tooLarge(error)) throw error;
        });
      }
    }
    return before - budget.workLeft;
  } catch (error) {
    if (tooLarge(error)) return null;
    throw error;
  }
}

for (const [name, make] of Object.entries(HOSTILE_SCRIPTS)) {
  Deno.test(`script of ${name}: 40 kB, 1 MB → linear work`, async () => {
    const page = (characters: number) => `<script>${make(characters)}</script>`;
    const small = await workOn(page(SMALL), { left: Infinity, workLeft: 1e9 });
    assert.ok(small !== null && small <= 20 * SMALL, `${small}`);
    const large = await workOn(page(LARGE), { left: Infinity, workLeft: 1e9 });
    assert.ok(large === null || large <= 1.5 * small * LARGE / SMALL, `${small} ${large}`);
  });
}

for (const [name, make] of Object.entries(HOSTILE_PAGES)) {
  Deno.test(`page of ${name}: 40 kB, 1 MB → linear work`, async () => {
    const small = await workOn(make(SMALL), { left: Infinity, workLeft: 1e9 });
    assert.ok(small !== null && small <= 20 * SMALL, `${small}`);
    const large = await workOn(make(LARGE), { left: Infinity, workLeft: 1e9 });
    assert.ok(large === null || large <= 1.5 * small * LARGE / SMALL, `${small} ${large}`);
  });
}

Deno.test("player page: work beyond the page's limit → too_large", async () => {
  const html = `<script>${HOSTILE_SCRIPTS["empty calls"](LARGE)}</script>`.repeat(4);
  assert.throws(() => readPlayerPage({ url: URL_OF_PAGE, html }, { left: Infinity, workLeft: 1e9 }), tooLarge);
  const budget = createParseBudget();
  assert.equal(await workOn(html, budget), null);
  assert.ok(createParseBudget().workLeft - budget.workLeft <= MAX_PAGE_WORK + LARGE);
});

Deno.test("player page: text split a thousand times → too_large", () => {
  const html = `<script>a="${"x".repeat(20_000)}";${'b=a.split("");'.repeat(1400)}</script>`;
  assert.throws(() => readPlayerPage({ url: URL_OF_PAGE, html }, { left: Infinity, workLeft: 1e9 }), tooLarge);
});

Deno.test("player page: budget of the response used up → too_large", async () => {
  const script = HOSTILE_SCRIPTS.members(300_000);
  const { fetch } = createSites({
    "a.test": () => htmlResponse(`<script>${script}</script><script>p.setup({file:"/a.mp4"})</script>`),
  });
  const parseBudget = createParseBudget();
  const read = () => resolveServer({ embedUrl: URL_OF_PAGE }, { fetch, signal, now: Date.now, parseBudget });
  let pages = 0;
  await assert.rejects(async () => {
    for (;; pages++) assert.equal((await read()).url, "https://a.test/a.mp4");
  }, tooLarge);
  assert.ok(pages >= 3 && pages < 20, `${pages}`);
});

Deno.test("player page: larger than 1 MiB → too_large, and not read further", async () => {
  const { fetch } = createSites({ "a.test": () => htmlResponse("<p>x</p>".repeat(140_000)) });
  await assert.rejects(resolveServer({ embedUrl: URL_OF_PAGE }, { fetch, signal, now: Date.now }), tooLarge);
});

Deno.test("player page: generated pages → at most 60 units per character", async () => {
  for (const shapes of Object.values(SHAPE_PAGES)) {
    for (const [name, make] of Object.entries(shapes)) {
      const page = make(VARIANTS[0]!);
      const { fetch } = createSites(sitesOf(page));
      const parseBudget = createParseBudget();
      const before = parseBudget.workLeft;
      await resolveServer({ embedUrl: `${PAGE_URL}${page.path ?? ""}` }, { fetch, signal, now: Date.now, parseBudget });
      assert.ok(before - parseBudget.workLeft < 60 * (page.html.length + 3000), name);
    }
  }
});
