import assert from "node:assert/strict";
import { selectBase64Site } from "../dev/emulators/sites/select_base64_site.ts";
import { createSites, htmlResponse, type Site } from "../dev/emulators/sites/sites.ts";
import { PRODUCT } from "./collect.ts";
import { checkProvider, plays, type ProviderToCheck } from "./provider_check.ts";
import { createRobots } from "./fetch/robots.ts";

const ENTRY = { name: "animasu", recipe: "select-base64", base_url: "https://site.test", rights: "own work" };
const player = (media: string): Site => () => htmlResponse(`<script>p.setup({file:"${media}"})</script>`);

function check(entry: unknown, page: string | null, sites: Readonly<Record<string, Site>>) {
  const { fetch } = createSites(sites);
  const tools = {
    fetch,
    signal: new AbortController().signal,
    now: Date.now,
    robots: createRobots({ now: Date.now, product: PRODUCT }),
  };
  return checkProvider({ entry, malId: 1, episode: 1, page, catalogue: null }, tools);
}

Deno.test("provider:check: servers of all kinds → what was found, and why not", async () => {
  const steps = await check(ENTRY, "/anime/some-title/", {
    "site.test": selectBase64Site(),
    "vidhidepro.test": player("https://cdn.test/a.mp4"),
    "player.test": player("https://cdn.test/list.m3u8"),
    "lazy.test": player("https://cdn.test/page.mp4"),
    "plain.test": () => htmlResponse("<p>no player</p>"),
    "second.test": () => new Response("", { status: 404 }),
    "cdn.test": (_request, url) => {
      if (url.pathname === "/a.mp4") {
        return new Response("ab", { status: 206, headers: { "content-type": "video/mp4" } });
      }
      if (url.pathname === "/list.m3u8") return new Response("#EXTM3U\n");
      return htmlResponse("login");
    },
  });
  const report = steps.map(({ step, outcome, detail }) => `${step} ${outcome}: ${detail.split(" – ")[0]}`);
  assert.deepEqual(report, [
    "entry good: animasu reads https://site.test by the recipe select-base64",
    "rights good: archiving rights: own work",
    "page good: mapped to /anime/some-title/",
    "list good: 5 servers for episode 1",
    "list warning: Broken: parse",
    "list warning: Text only: parse",
    "server good: Vidhidepro 720p, 720p: mp4 at cdn.test (jwplayer: setup-file)",
    "media good: Vidhidepro 720p: video/mp4",
    "server good: Player 480p, 480p: hls at cdn.test (jwplayer: setup-file)",
    "media good: Player 480p: a playlist",
    "server good: Lazy 360p, 360p: mp4 at cdn.test (jwplayer: setup-file)",
    "media bad: Lazy 360p: a web page instead of media",
    "server bad: Plain 1080p, 1080p: unsupported",
    "server bad: Second 720p, 720p: http_4xx",
  ]);
  assert.ok(plays(steps));
});

Deno.test("provider:check: DASH manifest, or a page instead → good, bad", async () => {
  for (
    const [body, detail] of [[`<?xml version="1.0"?><MPD/>`, "a DASH manifest"], [
      "<html>",
      "not a DASH manifest, despite its name",
    ]] as const
  ) {
    const steps = await check(ENTRY, "/anime/some-title/", {
      "site.test": selectBase64Site(),
      "vidhidepro.test": player("https://cdn.test/a.mpd"),
      "cdn.test": () => new Response(body, { headers: { "content-type": "application/dash+xml" } }),
    });
    assert.ok(steps.some((step) => step.detail === `Vidhidepro 720p: ${detail}`), JSON.stringify(steps));
    assert.equal(plays(steps), detail === "a DASH manifest");
  }
});

Deno.test("provider:check: invalid entry → every reason, no page is read", async () => {
  const steps = await check({ name: "A B", recipe: "magic", base_url: "ftp://x" }, null, {});
  assert.deepEqual(steps.map(({ outcome }) => outcome).every((one) => one === "bad"), true);
  assert.ok(steps.length >= 2 && !plays(steps));
});

Deno.test("provider:check: excluded by robots.txt → robots, unless ignored", async () => {
  const site: Site = (_request, url) =>
    url.pathname === "/robots.txt" ? new Response("User-agent: *\nDisallow: /") : htmlResponse("");
  const steps = await check(ENTRY, "/anime/x/", { "site.test": site });
  assert.match(steps.at(-1)?.detail ?? "", /^robots – /);
  const ignoring = await check({ ...ENTRY, config: { robots: "ignore" } }, "/anime/x/", { "site.test": site });
  assert.match(ignoring.at(-1)?.detail ?? "", /^empty – /);
});

Deno.test("provider:check: catalogue → the row and its rights, or no_mapping", async () => {
  const { fetch } = createSites({
    "own.test": () => new Response("ab", { status: 206, headers: { "content-type": "video/mp4" } }),
  });
  const tools = { fetch, signal: new AbortController().signal, now: Date.now };
  const reportOn = async (catalogue: ProviderToCheck["catalogue"]) => {
    const entry = { name: "own", recipe: "catalogue", rights: "of the entry" };
    const steps = await checkProvider({ entry, malId: 1, episode: 1, page: null, catalogue }, tools);
    return [plays(steps), ...steps.slice(1).map(({ step, outcome, detail }) => `${step} ${outcome}: ${detail}`)];
  };
  const row = { title: null, sources: [{ url: "https://own.test/1.mp4" }] };
  const found = [
    "list good: 1 servers for episode 1",
    "server good: Own: mp4 at own.test",
    "media good: Own: video/mp4",
  ];
  assert.deepEqual(await reportOn({ ...row, rights: "own work" }), [
    true,
    "rights good: archiving rights: own work",
    ...found,
  ]);
  assert.deepEqual(await reportOn({ ...row, rights: null }), [
    true,
    "rights warning: no rights are stated: servers are streamed, nothing is archived",
    ...found,
  ]);
  assert.deepEqual(await reportOn(row), [true, ...found]);
  assert.deepEqual(await reportOn(null), [
    false,
    "list bad: no_mapping – the catalogue has no such episode: import it (deno task catalogue), or try a URL with --media",
  ]);
});
