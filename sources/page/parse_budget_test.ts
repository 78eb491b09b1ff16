// The edge allows a request 2 s of CPU, so the cost of a page is estimated before it is parsed.
import assert from "node:assert/strict";
import { DOMParser } from "linkedom/worker";
import { createSites, htmlResponse, type Site } from "../../dev/emulators/sites/sites.ts";
import { collectSources } from "../collect.ts";
import { parseHtml } from "./html.ts";
import { createPageClient } from "../fetch/page_client.ts";
import { createParseBudget, MAX_PARSED_PAGE_BYTES } from "./parse_budget.ts";
import { resolveServer } from "../resolvers/index.ts";
import { SourceError } from "../source_error.ts";

const tooLarge = (error: unknown) => error instanceof SourceError && error.reason === "too_large";
const signal = new AbortController().signal;

/** How many pages `work` parses into a tree. */
async function parsedBy(work: () => Promise<unknown>): Promise<number> {
  const original = DOMParser.prototype.parseFromString;
  let parsed = 0;
  DOMParser.prototype.parseFromString = new Proxy(original, {
    apply(target, self, args) {
      parsed++;
      return Reflect.apply(target, self, args);
    },
  });
  try {
    await work();
    return parsed;
  } finally {
    DOMParser.prototype.parseFromString = original;
  }
}

Deno.test("parse budget: title's page of 600 KiB → too_large, not parsed", async () => {
  const page: Site = () => htmlResponse("<p>x</p>".repeat(75 * 1024));
  const request = {
    malId: 1,
    episode: 1,
    provider: { name: "p", recipe: "select-base64", base_url: "https://a.test", config: {} },
    page: "/title/",
    catalogue: null,
  };
  const parsed = await parsedBy(async () => {
    const { fetch } = createSites({ "a.test": page });
    assert.equal((await collectSources(request, { fetch, signal, now: Date.now })).code, "too_large");
  });
  assert.equal(parsed, 0);
});

Deno.test("embed page: any resolver → read by its tags, not parsed", async () => {
  const player = `<video><source src="/a.mp4"></video>`;
  const framed: Site = (_request, url) => htmlResponse(url.pathname === "/e" ? `<iframe src="/f"></iframe>` : player);
  const state: Site = () =>
    htmlResponse(`<div data-page="{&quot;props&quot;:{&quot;url&quot;:&quot;https://b.test/a.mp4&quot;}}"></div>`);
  for (const site of [framed, state]) {
    const { fetch } = createSites({ "b.test": site });
    const parsed = await parsedBy(async () => {
      const resolved = await resolveServer({ embedUrl: "https://b.test/e" }, { fetch, signal, now: Date.now });
      assert.equal(resolved.url, "https://b.test/a.mp4");
    });
    assert.equal(parsed, 0);
  }
});

Deno.test("parse budget: slow half megabyte → too_large before parsing", async () => {
  for (const unit of ["<b>", "<a>", "<a></x>", "<li><p>", "<p><table>", "<i a b c d e f>"]) {
    const html = unit.repeat(MAX_PARSED_PAGE_BYTES / unit.length);
    assert.equal(await parsedBy(() => assert.rejects(parseHtml(html), tooLarge, unit)), 0);
  }
});

Deno.test("parse budget: three pages of one response → the third too_large", async () => {
  const item = `<li><span class="lchx"><a href="/episode-1/">Episode 1</a></span></li>`;
  const { fetch } = createSites({ "a.test": () => htmlResponse(item.repeat(6_000)) });
  const parseBudget = createParseBudget();
  const read = () => createPageClient({ fetch, signal, parseBudget }).document("https://a.test/");
  for (let page = 0; page < 2; page++) assert.ok((await read()).document.querySelector("a"));
  await assert.rejects(read(), tooLarge);
});

Deno.test("parse budget: unclosed items, thousands of episodes → parsed", async () => {
  const item = `<li><div class="epsright"><span class="eps"><a href="/e/1">1</a></span></div><img src=a.jpg><p>x`;
  const document = await parseHtml(`<ul>${`${item}</li>`.repeat(2_000)}</ul>${"<p>y<br>".repeat(2_000)}`);
  assert.equal([...document.querySelectorAll("li")].length, 2_000);
});
