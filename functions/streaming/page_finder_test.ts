import assert from "node:assert/strict";
import { createSites, type Site } from "../../dev/emulators/sites/sites.ts";
import { searchSite, titleApi } from "../../dev/emulators/sites/title_api.ts";
import { MAX_QUERIES } from "../../sources/discovery/find_page.ts";
import { SourceError } from "../../sources/source_error.ts";
import type { DiscoveryStore } from "./episode_store.ts";
import { ABSENT_SECONDS, createPageFinder, FOUND_SECONDS } from "./page_finder.ts";

/** The three calls of the database, kept in memory; streaming_function_test.ts uses the real ones. */
function memoryStore() {
  const metadata = new Map<string, unknown>();
  const mappings: unknown[] = [];
  const store: DiscoveryStore = {
    readMetadata: (key) => Promise.resolve(metadata.get(key) ?? null),
    saveMetadata: (key, value) => Promise.resolve(void metadata.set(key, value)),
    saveMapping: (at, mapping, ttl) => Promise.resolve(void mappings.push([at.provider, mapping, ttl])),
  };
  return { store, mappings };
}

function setUp(sites: Readonly<Record<string, Site>>) {
  const { fetch, requests } = createSites(sites);
  const { store, mappings } = memoryStore();
  const finder = createPageFinder({ store, titleApiUrl: "https://titles.test/v4", onError: () => {} });
  const provider = { name: "p", recipe: "select-base64", base_url: "https://site.test", config: {} };
  const siteHeaders = { origin: "https://site.test", headers: { cookie: "secret" } };
  const tools = { fetch, signal: new AbortController().signal, now: Date.now, siteHeaders };
  const find = (name = "p") =>
    finder({ malId: 1, episode: 1, provider: { ...provider, name }, page: null, catalogue: null }, tools);
  return { find, mappings, requests };
}

Deno.test("page finder: several seasons → the right one, saved", async () => {
  const { site } = searchSite(["Some Title Season 1", "Some Title Season 2", "Some Title Season 20"]);
  const { find, mappings } = setUp({
    "titles.test": titleApi({ title: "Some Title 2nd Season" }).site,
    "site.test": site,
  });
  const page = `https://site.test/anime/${encodeURIComponent("Some Title Season 2")}/`;
  assert.equal(await find(), page);
  assert.deepEqual(mappings, [["p", { page, title: "Some Title Season 2", score: 1 }, FOUND_SECONDS]]);
});

Deno.test("config.headers: the site's search gets them, the title API does not", async () => {
  const sent: (string | null)[] = [];
  const watched = (site: Site): Site => (request, url) => {
    sent.push(`${url.host} ${request.headers.get("cookie")}`);
    return site(request, url);
  };
  const { find } = setUp({
    "titles.test": watched(titleApi({ title: "Some Title" }).site),
    "site.test": watched(searchSite(["Some Title"]).site),
  });
  await find();
  assert.deepEqual(sent, ["titles.test null", "site.test secret"]);
});

Deno.test("page finder: absent title → cached for hours, searches bounded", async () => {
  const search = searchSite(Array.from({ length: 60 }, (_, index) => `Some Other Title ${index}`));
  const titles = ["Some Title", "Another Name", "Third", "Fourth", "Fifth", "進撃の巨人"];
  const { find, mappings } = setUp({
    "titles.test": titleApi({ title: "Some Title", titles }).site,
    "site.test": search.site,
  });
  assert.equal(await find(), null);
  assert.deepEqual(mappings, [["p", {}, ABSENT_SECONDS]]);
  assert.equal(search.queries.length, MAX_QUERIES);
});

Deno.test("page finder: metadata API 429, 408, 504 → retried", async () => {
  for (const status of [429, 408, 504]) {
    const { find } = setUp({
      "titles.test": titleApi(status, { title: "Some Title" }).site,
      "site.test": searchSite(["Some Title"]).site,
    });
    assert.match(await find() ?? "", /Some%20Title/);
  }
});

Deno.test("page finder: metadata API down → failure, nothing cached", async () => {
  const { find, mappings } = setUp({ "titles.test": titleApi(504).site, "site.test": searchSite(["Some Title"]).site });
  await assert.rejects(find(), (error) => error instanceof SourceError && error.reason === "http_5xx");
  assert.deepEqual(mappings, []);
});

Deno.test("page finder: title unknown to the API → absent, no site search", async () => {
  const search = searchSite(["Some Title"]);
  const { find, mappings } = setUp({ "titles.test": titleApi(404).site, "site.test": search.site });
  assert.equal(await find(), null);
  assert.deepEqual([mappings.length, search.queries.length], [1, 0]);
});

Deno.test("page finder: no year → first broadcast separates equal names", async () => {
  const sites = searchSite(["Same Name (2011)", "Same Name (2023)"]);
  const record = { title: "Same Name", year: null, aired: "2023-04-01T00:00:00+00:00" };
  const { find } = setUp({ "titles.test": titleApi(record).site, "site.test": sites.site });
  assert.match(await find() ?? "", /2023/);
});

Deno.test("page finder: metadata API with wrong types → parse error", async () => {
  const { find } = setUp({
    "titles.test": () => Response.json({ data: { title: 5 } }),
    "site.test": searchSite([]).site,
  });
  await assert.rejects(find(), (error) => error instanceof SourceError && error.reason === "parse");
});

Deno.test("page finder: several providers, one title → its names are fetched once", async () => {
  const api = titleApi({ title: "Some Title" });
  const { find, mappings } = setUp({ "titles.test": api.site, "site.test": searchSite(["Some Title"]).site });
  await Promise.all([find("a"), find("b"), find("c")]);
  await find("d");
  assert.equal(api.calls(), 1);
  assert.equal(mappings.length, 4);
});
