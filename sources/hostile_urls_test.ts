// URLs from a site, an API or a row of the catalogue: only http and https are returned, and an invalid one drops only its own server.
import assert from "node:assert/strict";
import { MEGA_LINK, megaApi } from "../dev/emulators/sites/mega_site.ts";
import {
  ARCHIVE_ITEM,
  internetArchive,
  peertube,
  PEERTUBE_SPLIT,
  PEERTUBE_VIDEO,
} from "../dev/emulators/sites/open_archives.ts";
import { packedPage, packScript, playerSetup } from "../dev/emulators/sites/packed_page.ts";
import { base64, selectBase64Site } from "../dev/emulators/sites/select_base64_site.ts";
import { createSites, htmlResponse, pages, type Site } from "../dev/emulators/sites/sites.ts";
import { checkCatalogue } from "./catalogue/entry.ts";
import { collectSources } from "./collect.ts";
import { checkProviderList } from "./providers/entry.ts";
import type { EpisodeRequest } from "./recipes/recipe.ts";

const BAD = [
  "javascript:alert(1)",
  "JaVaScRiPt:alert(1)",
  "java\nscript:alert(1)",
  "\u0001javascript:alert(1)",
  "javascript://cdn.test/%0aalert(1)//.m3u8",
  "data:video/mp4;base64,AAAA",
  "file:///etc/passwd",
  "file://cdn.test/a.mp4",
  "blob:https://site.test/a.mp4",
  "ftp://cdn.test/a.mp4",
  "https://user:secret@cdn.test/a.mp4",
  "https://cdn.test/a\u0000b.mp4",
  "https://[::1/a.mp4",
] as const;

function collect(recipe: string, sites: Readonly<Record<string, Site>>, more: Partial<EpisodeRequest> = {}) {
  const { fetch } = createSites(sites);
  const provider = { name: "p", recipe, base_url: "https://site.test", config: {} };
  const request = { malId: 1, episode: 1, provider, page: "abc", catalogue: null, ...more };
  const tools = { fetch, signal: new AbortController().signal, now: Date.now, megaApiUrl: "https://api.test" };
  return collectSources(request, tools);
}

/** The list, after a check of every URL in it. */
async function checked(list: ReturnType<typeof collect>) {
  const { servers, ...rest } = await list;
  for (const server of servers) {
    const urls = [server.embed_url, server.video_url, ...server.subtitles.map(({ url }) => url)];
    for (const url of urls) {
      // deno-lint-ignore no-control-regex
      if (url !== null) assert.match(url, /^https?:\/\/[^\u0000-\u0020\u007f-\u009f@]+$/);
    }
  }
  return { servers, ...rest };
}

Deno.test("peertube: a file at another scheme → left out, the others stay", async () => {
  for (const bad of BAD) {
    const [first, ...others] = PEERTUBE_VIDEO.files;
    const video = { ...PEERTUBE_VIDEO, files: [{ ...first, fileUrl: bad }, ...others] };
    const { servers, failures } = await checked(collect("peertube", { "site.test": peertube(video) }));
    assert.deepEqual(servers.map((one) => one.video_url), ["https://tube.test/static/360.mp4"]);
    assert.deepEqual(failures, [{ label: "PeerTube 720p", code: "parse" }]);
    const only = { ...PEERTUBE_SPLIT, streamingPlaylists: [{ playlistUrl: bad, files: [] }] };
    assert.equal((await checked(collect("peertube", { "site.test": peertube(only) }))).code, "parse");
  }
});

Deno.test("peertube: a caption at another scheme → left out, the others stay", async () => {
  for (const bad of BAD) {
    const instance = peertube(PEERTUBE_VIDEO);
    const site: Site = (request, url) => {
      if (!url.pathname.endsWith("/captions")) return instance(request, url);
      const caption = (fileUrl: string) => ({ language: { id: "id" }, fileUrl });
      return Response.json({ data: [caption(bad), caption("https://tube.test/id.vtt")] });
    };
    const { servers } = await checked(collect("peertube", { "site.test": site }));
    assert.deepEqual(servers.map((one) => one.subtitles.map(({ url }) => url)), [
      ["https://tube.test/id.vtt"],
      ["https://tube.test/id.vtt"],
    ]);
  }
});

Deno.test("catalogue: a source or subtitle at another scheme → left out", async () => {
  for (const bad of BAD) {
    const sources = [
      { url: bad, label: "Bad" },
      { url: bad, kind: "mp4" },
      { url: "https://own.test/1.mp4", subtitles: [{ url: bad }, { url: "https://own.test/en.vtt" }] },
    ];
    const list = await checked(collect("catalogue", {}, { catalogue: { title: null, sources } }));
    assert.deepEqual(list.servers.map((one) => [one.video_url, one.subtitles.length]), [["https://own.test/1.mp4", 1]]);
    assert.deepEqual(list.failures.map(({ code }) => code), ["invalid_input", "invalid_input"]);
    const entry = (url: string, subtitle: string) => [{
      mal_id: 1,
      episode: 1,
      sources: [{ url, subtitles: [{ url: subtitle }] }],
    }];
    const refused = checkCatalogue(entry(bad, "https://own.test/en.vtt"));
    assert.equal(refused.ok ? 0 : refused.error.length, 1, "one reason for one URL");
    assert.equal(checkCatalogue(entry("https://own.test/1.mp4", bad)).ok, false);
    assert.equal(checkProviderList([{ name: "p", recipe: "peertube", base_url: bad }]).ok, false);
  }
});

Deno.test("select-base64: an iframe to another scheme → a failure of its own", async () => {
  for (const bad of BAD) {
    const frame = (src: string) => base64(`<iframe src='${src}'></iframe>`);
    const site = selectBase64Site([
      { label: "Bad", value: frame(bad) },
      { label: "Bare", value: base64(bad) },
      { label: "Good", value: frame("https://cdn.test/a.mp4") },
    ]);
    const list = await checked(collect("select-base64", { "site.test": site }, { page: "/anime/some-title/" }));
    assert.deepEqual(list.servers.map(({ video_url }) => video_url), ["https://cdn.test/a.mp4"]);
    assert.deepEqual(list.failures.map(({ label }) => label), ["Bad", "Bare"]);
  }
});

Deno.test("embed pages that name another scheme → no media, the others play", async () => {
  for (const bad of BAD) {
    const state = JSON.stringify({ props: { url: bad } }).replaceAll("&", "&amp;").replaceAll('"', "&quot;");
    const players = {
      "inertia.test": htmlResponse(`<div id="app" data-page="${state}"></div>`),
      "packed.test": htmlResponse(packedPage(packScript(playerSetup({ hls2: bad, hls4: bad, hls3: bad })))),
      "script.test": htmlResponse(`<script>p.setup({file:${JSON.stringify(bad)}})</script>`),
      "video.test": htmlResponse(`<video src='${bad}'></video>`),
      "frame.test": htmlResponse(`<iframe src='${bad}'></iframe>`),
    };
    const links = [...Object.keys(players).map((host) => `https://${host}/e`), MEGA_LINK, "https://cdn.test/a.mp4"];
    const sites = Object.fromEntries(Object.entries(players).map(([host, page]) => [host, () => page.clone()]));
    const site = selectBase64Site(
      links.map((src, index) => ({ label: `${index}`, value: base64(`<iframe src="${src}"></iframe>`) })),
    );
    const list = await checked(collect("select-base64", {
      ...sites,
      "site.test": site,
      "api.test": megaApi([{ g: bad, s: 5 }]).site,
    }, { page: "/anime/some-title/" }));
    assert.deepEqual(list.servers.map(({ video_url }) => video_url), [
      ...links.slice(0, -1).map(() => null),
      "https://cdn.test/a.mp4",
    ]);
    assert.equal(list.servers.at(-2)!.code, "parse");
  }
});

Deno.test("player scripts: valid and invalid links → the valid ones", async () => {
  const packed = packedPage(packScript(playerSetup({ hls2: "javascript:alert(1)", hls4: "/m.m3u8" })));
  const script = `<script>p.setup({file:"data:video/mp4,x",src:"/v.mp4",tracks:[{file:"javascript:alert(1)//.vtt"},` +
    `{file:"/en.vtt"}]})</script>`;
  const catalogue = { title: null, sources: [{ url: "https://packed.test/e" }, { url: "https://script.test/e" }] };
  const { servers } = await checked(collect("catalogue", {
    "packed.test": () => htmlResponse(packed),
    "script.test": () => htmlResponse(script),
  }, { catalogue }));
  assert.deepEqual(servers.map(({ video_url }) => video_url), [
    "https://packed.test/m.m3u8",
    "https://script.test/v.mp4",
  ]);
  assert.deepEqual(servers[1]!.subtitles.map(({ url }) => url), ["https://script.test/en.vtt"]);
});

Deno.test("redirects to another scheme → that server's failure, the others play", async () => {
  for (const location of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "ftp://a.test/"]) {
    const redirect: Site = () => new Response(null, { status: 302, headers: { location } });
    const catalogue = { title: null, sources: [{ url: "https://moved.test/e" }, { url: "https://own.test/1.mp4" }] };
    const { servers } = await checked(collect("catalogue", { "moved.test": redirect }, { catalogue }));
    assert.deepEqual(servers.map(({ video_url, code }) => [video_url, code]), [
      [null, "invalid_input"],
      ["https://own.test/1.mp4", undefined],
    ]);
  }
});

Deno.test("internet-archive: unencodable name → left out, the others stay", async () => {
  const files = [{ name: "\ud800 ep1.mp4" }, ...ARCHIVE_ITEM.files];
  const site = internetArchive({ ...ARCHIVE_ITEM, files });
  const { servers } = await checked(collect("internet-archive", { "site.test": site }, { page: "open_film" }));
  assert.equal(servers.length, 3);
});

Deno.test("a mapped page of another scheme → invalid_input", async () => {
  for (const page of ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x"]) {
    const list = await collect("select-base64", { "site.test": pages({}) }, { page });
    assert.deepEqual([list.state, list.code], ["failed", "invalid_input"]);
  }
});
