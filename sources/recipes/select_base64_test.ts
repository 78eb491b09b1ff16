import assert from "node:assert/strict";
import {
  base64,
  episodeListPage,
  MIRROR_OPTIONS,
  mirrorPage,
  selectBase64Site,
} from "../../dev/emulators/sites/select_base64_site.ts";
import { createSites, pages } from "../../dev/emulators/sites/sites.ts";
import { createPageClient } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";
import type { EpisodeRequest } from "./recipe.ts";
import { selectBase64Recipe } from "./select_base64.ts";

function request(episode: number): EpisodeRequest {
  return {
    malId: 1,
    episode,
    provider: { name: "animasu", recipe: "select-base64", base_url: "https://site.test", config: {} },
    page: "/anime/some-title/",
    catalogue: null,
  };
}

function list(site: Parameters<typeof createSites>[0][string], episode = 1) {
  const { fetch } = createSites({ "site.test": site });
  return selectBase64Recipe.listServers(
    request(episode),
    createPageClient({ fetch, signal: new AbortController().signal }),
  );
}

Deno.test("select-base64: every iframe spelling → URL, label and resolution", async () => {
  const { servers } = await list(selectBase64Site());
  assert.deepEqual(servers, [
    { label: "Vidhidepro 720p", embedUrl: "https://vidhidepro.test/v/one", resolution: "720p" },
    { label: "Player 480p", embedUrl: "https://player.test/e/two?a=1&b=2", resolution: "480p" },
    { label: "Lazy 360p", embedUrl: "https://lazy.test/e/3", resolution: "360p" },
    { label: "Plain 1080p", embedUrl: "https://plain.test/e/four", resolution: "1080p" },
    { label: "Second 720p", embedUrl: "https://second.test/v/five", resolution: "720p" },
  ]);
});

Deno.test("select-base64: unreadable option → failure; placeholder → none", async () => {
  const { failures } = await list(selectBase64Site());
  assert.deepEqual(failures, [{ label: "Broken", code: "parse" }, { label: "Text only", code: "parse" }]);
});

Deno.test("an episode without options → no servers and no failure", async () => {
  assert.deepEqual(await list(selectBase64Site(), 2), { servers: [], failures: [] });
});

Deno.test("select-base64: iframe to javascript: or without a URL → no server", async () => {
  const bad = [`<iframe src="javascript:alert(1)"></iframe>`, `<iframe src=""></iframe>`, `<iframe></iframe>`];
  const { servers, failures } = await list(
    selectBase64Site(bad.map((html, index) => ({ label: `Bad ${index}`, value: base64(html) }))),
  );
  assert.deepEqual(servers, []);
  assert.equal(failures.length, 3);
});

Deno.test("select-base64: episode not listed → empty, with the count listed", async () => {
  await assert.rejects(
    list(selectBase64Site(), 9),
    (error) => error instanceof SourceError && error.reason === "empty",
  );
});

Deno.test("select-base64: ranges, duplicates, numbered titles → the right page", async () => {
  const site = pages({
    "/anime/some-title/": episodeListPage([
      { label: "Title 100 Episode 115 – 120", href: "/range/" },
      { label: "Title 100 Episode 7.5", href: "/half/" },
      { label: "Title 100 Episode 7", href: "/seven/" },
      { label: "Title 100 Episode 7", href: "/seven/" },
      { label: "Title 100 Episode 3", href: "" },
      { label: "OVA", href: "/ova/" },
    ]),
    "/range/": mirrorPage(MIRROR_OPTIONS.slice(1, 2)),
    "/seven/": mirrorPage(MIRROR_OPTIONS.slice(2, 3)),
  });
  assert.equal((await list(site, 118)).servers[0]?.embedUrl, "https://vidhidepro.test/v/one");
  assert.equal((await list(site, 7)).servers[0]?.embedUrl, "https://player.test/e/two?a=1&b=2");
  for (const episode of [3, 100, 121]) await assert.rejects(list(site, episode), SourceError);
});

Deno.test("select-base64: single page without a number → episode 1", async () => {
  const site = pages({
    "/anime/some-title/": episodeListPage([{ label: "Movie", href: "/movie/" }]),
    "/movie/": mirrorPage(MIRROR_OPTIONS.slice(1, 2)),
  });
  assert.equal((await list(site, 1)).servers.length, 1);
  await assert.rejects(list(site, 2), SourceError);
});

Deno.test("select-base64: selectors in config → replace the recipe's", async () => {
  const { fetch } = createSites({
    "site.test": pages({
      "/anime/some-title/": `<ol id="eps"><li><a href="/one/">1</a></li></ol>`,
      "/one/": `<select id="s"><option value="${MIRROR_OPTIONS[1]!.value}">720p</option></select>`,
    }),
  });
  const config = { selectors: { episodes: "#eps a", options: "#s option" } };
  const own = { ...request(1), provider: { ...request(1).provider, config } };
  const signal = new AbortController().signal;
  const { servers } = await selectBase64Recipe.listServers(own, createPageClient({ fetch, signal }));
  assert.equal(servers.length, 1);
});
