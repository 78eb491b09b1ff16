import assert from "node:assert/strict";
import { base64, selectBase64Site } from "../dev/emulators/sites/select_base64_site.ts";
import { createSites, hangs, htmlResponse, pages, type Site } from "../dev/emulators/sites/sites.ts";
import { collectSources, type CollectTools, MAX_SERVERS, PRODUCT } from "./collect.ts";
import { createPerHostLimiter } from "./fetch/per_host_limiter.ts";
import type { EpisodeRequest } from "./recipes/recipe.ts";
import { createRobots, isAllowed } from "./fetch/robots.ts";
import { checkPublicHost } from "./fetch/public_host.ts";
import { SourceError } from "./source_error.ts";

const BASE: EpisodeRequest = {
  malId: 1,
  episode: 1,
  provider: { name: "p", recipe: "select-base64", base_url: "https://site.test", config: {} },
  page: "/anime/some-title/",
  catalogue: null,
};

function collect(
  sites: Readonly<Record<string, Site>>,
  request: Partial<EpisodeRequest> = {},
  more: Partial<CollectTools> = {},
) {
  const { fetch, requests } = createSites(sites);
  const tools = { fetch, signal: new AbortController().signal, now: Date.now, ...more };
  return { list: collectSources({ ...BASE, ...request }, tools), requests };
}

const withConfig = (config: Record<string, unknown>) => ({ provider: { ...BASE.provider, config } });
const player = (media: string): Site => () => htmlResponse(`<script>p.setup({file:"${media}"})</script>`);

const ALL_PLAYERS = {
  "site.test": selectBase64Site(),
  "vidhidepro.test": player("https://cdn.test/1.m3u8"),
  "player.test": player("/2.mp4"),
  "lazy.test": () => new Response("x", { headers: { "content-type": "video/mp4" } }),
  "plain.test": () => htmlResponse(`<iframe src="https://inner.test/e"></iframe>`),
  "inner.test": player("https://cdn.test/4.mp4"),
  "second.test": () => new Response("", { status: 404 }),
};

Deno.test("collectSources: one server fails → its own failure, others resolved", async () => {
  const list = await collect(ALL_PLAYERS).list;
  assert.deepEqual(list.servers.map((one) => [one.label, one.video_url, one.kind, one.code]), [
    ["Vidhidepro 720p", "https://cdn.test/1.m3u8", "hls", undefined],
    ["Player 480p", "https://player.test/2.mp4", "mp4", undefined],
    ["Lazy 360p", "https://lazy.test/e/3", "mp4", undefined],
    ["Plain 1080p", "https://cdn.test/4.mp4", "mp4", undefined],
    ["Second 720p", null, null, "http_4xx"],
  ]);
});

Deno.test("collectSources: player page hangs → only its server times out", async () => {
  const { fetch } = createSites({ ...ALL_PLAYERS, "vidhidepro.test": hangs });
  const impatient = (input: string, init?: RequestInit) => {
    if (!input.includes("vidhidepro")) return fetch(input, init);
    const late = AbortSignal.any([init!.signal!, AbortSignal.abort(new DOMException("too long", "TimeoutError"))]);
    return fetch(input, { ...init, signal: late });
  };
  const list = await collect({}, {}, { fetch: impatient }).list;
  assert.deepEqual([list.servers[0]?.code, list.servers.filter((one) => one.video_url !== null).length], [
    "timeout",
    3,
  ]);
});

Deno.test("collectSources: config.hosts → other hosts left out and reported", async () => {
  const { list, requests } = collect(ALL_PLAYERS, withConfig({ hosts: ["player.test"] }));
  assert.deepEqual((await list).servers.map((one) => one.label), ["Player 480p"]);
  assert.equal((await list).failures.filter((one) => one.code === "policy_denied").length, 4);
  assert.ok(!requests.some((one) => one.includes("vidhidepro")));
  assert.equal((await collect(ALL_PLAYERS, withConfig({ hosts: ["other.test"] })).list).code, "policy_denied");
});

Deno.test("collectSources: config.resolvers → the named resolver reads the host", async () => {
  const list = await collect(ALL_PLAYERS, withConfig({ resolvers: { "player.test": "packed-player" } })).list;
  assert.equal(list.servers[1]?.code, "unsupported");
});

Deno.test("collectSources: config.headers and user_agent → sent; default: ours", async () => {
  const seen: (string | null)[][] = [];
  const site: Site = (request) => {
    seen.push([request.headers.get("user-agent"), request.headers.get("x-own")]);
    return new Response("", { status: 404 });
  };
  await collect({ "site.test": site }).list;
  await collect({ "site.test": site }, withConfig({ user_agent: "own/1", headers: { "x-own": "yes" } })).list;
  assert.match(seen[0]?.[0] ?? "", /^keepstream\//);
  assert.deepEqual(seen[1], ["own/1", "yes"]);
});

Deno.test("collectSources: missing recipe, mapping or page → its code", async () => {
  assert.equal((await collect({}, { provider: { ...BASE.provider, recipe: "nope" } }).list).code, "unsupported");
  assert.equal((await collect({}, { page: null }).list).code, "no_mapping");
  assert.equal((await collect({ "site.test": pages({}) }).list).code, "http_4xx");
  const findPage = () => Promise.reject(new Error("not expected"));
  assert.equal((await collect({}, { page: null, absent: true }, { findPage }).list).code, "no_mapping");
});

Deno.test("collectSources: catalogue → no page fetched; embed → resolved", async () => {
  const provider = { name: "catalogue", recipe: "catalogue", base_url: null, config: {} };
  const sources = [{
    url: "https://own.test/1.mp4",
    resolution: "720p",
    subtitles: [{ url: "https://own.test/en.vtt", language: "en" }],
  }, { url: "https://own.test/embed" }];
  const catalogue = { title: "Own", sources };
  const list = await collect({ "own.test": player("/2.m3u8") }, { provider, page: null, catalogue }).list;
  assert.deepEqual(list.servers.map((one) => [one.video_url, one.kind, one.resolution, one.subtitles.length]), [
    ["https://own.test/1.mp4", "mp4", "720p", 1],
    ["https://own.test/2.m3u8", "hls", null, 0],
  ]);
  assert.equal((await collect({}, { provider, page: null }).list).code, "no_mapping");
});

Deno.test("collectSources: hundreds of servers → a bounded number is taken", async () => {
  const sources = Array.from({ length: 300 }, (_, index) => ({ url: `https://own.test/${index}.mp4` }));
  const provider = { name: "catalogue", recipe: "catalogue", base_url: null, config: {} };
  const list = await collect({}, { provider, page: null, catalogue: { title: null, sources } }).list;
  assert.equal(list.servers.length, MAX_SERVERS);
});

Deno.test("robots.txt of the site's other origins (www, http) → honoured, too", async () => {
  for (const elsewhere of ["https://www.site.test", "http://site.test"]) {
    const site: Site = (request, url) => {
      if (url.pathname !== "/robots.txt") {
        if (url.origin === elsewhere) return selectBase64Site()(request, url);
        return Response.redirect(elsewhere + url.pathname);
      }
      return new Response(url.origin === elsewhere ? "User-agent: *\nDisallow: /anime" : "");
    };
    const robots = createRobots({ now: () => 0, product: PRODUCT });
    const { code } = await collect({ "site.test": site, "www.site.test": site }, {}, { robots }).list;
    assert.equal(code, "robots", elsewhere);
  }
});

Deno.test("robots.txt → honoured, cached for an hour; the operator may override", async () => {
  let robotsReads = 0;
  const site = pages({
    "/robots.txt": () => (robotsReads++, new Response("User-agent: *\nDisallow: /some-title-episode")),
  });
  const both: Site = (request, url) =>
    url.pathname === "/robots.txt" ? site(request, url) : selectBase64Site()(request, url);
  const robots = createRobots({ now: () => 0, product: PRODUCT });
  for (let turn = 0; turn < 2; turn++) {
    assert.equal((await collect({ "site.test": both }, {}, { robots }).list).code, "robots");
  }
  assert.equal(robotsReads, 1);
  const ignoring = await collect({ ...ALL_PLAYERS, "site.test": both }, withConfig({ robots: "ignore" }), { robots })
    .list;
  assert.equal(ignoring.state, "ok");
  const none = await collect(ALL_PLAYERS, {}, { robots: createRobots({ now: () => 0, product: PRODUCT }) }).list; // 404: everything is allowed
  assert.equal(none.state, "ok");
  const broken: Site = () => new Response("", { status: 500 });
  assert.equal(
    (await collect({ "site.test": broken }, {}, { robots: createRobots({ now: () => 0, product: PRODUCT }) }).list)
      .code,
    "http_5xx",
  );
});

const ROBOTS = `User-agent: other
Disallow: /

User-agent: *
User-agent: second
Disallow: /private/
Disallow: /*.php$
Allow: /private/open
Disallow:

User-agent: KeepStream
Disallow: /wp-admin/
Allow: /wp-admin/admin-ajax.php # needed`;

for (
  const [path, product, allowed] of [
    ["/private/x", "other-bot", false],
    ["/private/open/x", "other-bot", true],
    ["/a/b.php", "other-bot", false],
    ["/a/b.php?x", "other-bot", true],
    ["/anything", "other", false],
    ["/private/x", "keepstream", true],
    ["/wp-admin/x", "keepstream", false],
    ["/wp-admin/admin-ajax.php", "keepstream", true],
  ] as const
) {
  Deno.test(`RFC 9309: ${path} for ${product} → ${allowed ? "allowed" : "disallowed"}`, () => {
    assert.equal(isAllowed(ROBOTS, new URL(`https://a.test${path}`), product), allowed);
  });
}

Deno.test("collectSources: a name that resolves to a private address → refused", async () => {
  const records = [["93.184.216.34"], ["127.0.0.1"]];
  const resolve = (_host: string, type: "A" | "AAAA") => Promise.resolve(type === "A" ? records.shift() ?? [] : []);
  const check = () =>
    checkPublicHost(new URL("https://rebind.test/"), { resolve, policy: {}, signal: AbortSignal.abort() });
  await check();
  await assert.rejects(check(), (error) => error instanceof SourceError && error.reason === "policy_denied");
  const v6 = (_host: string, type: "A" | "AAAA") =>
    Promise.resolve(type === "A" ? ["93.184.216.34"] : ["fd00:ec2::254"]);
  await assert.rejects(
    checkPublicHost(new URL("https://two.test/"), { resolve: v6, policy: {}, signal: AbortSignal.abort() }),
    SourceError,
  );
  const failing = () => Promise.reject(new Error("SERVFAIL"));
  await checkPublicHost(new URL("https://silent.test/"), { resolve: failing, policy: {}, signal: AbortSignal.abort() });
});

Deno.test("collectSources: every hop of a redirect → looked up first", async () => {
  const checked: string[] = [];
  const beforeRequest = (url: URL) => {
    checked.push(url.host);
    if (url.host === "inside.test") throw new SourceError("policy_denied", "private");
    return Promise.resolve();
  };
  const { list, requests } = collect({ "site.test": () => Response.redirect("https://inside.test/") }, {}, {
    beforeRequest,
  });
  assert.equal((await list).code, "policy_denied");
  assert.deepEqual([checked, requests.length], [["site.test", "inside.test"], 1]);
});

Deno.test("robots.txt: all request slots taken → fetched nevertheless", async () => {
  for (const limit of [1, 4]) {
    const site = selectBase64Site();
    const sites = {
      "site.test": (request: Request, url: URL) =>
        url.pathname === "/robots.txt" ? new Response("") : site(request, url),
    };
    const { fetch } = createSites(sites);
    const tools = {
      fetch,
      signal: new AbortController().signal,
      now: Date.now,
      limiter: createPerHostLimiter(),
      robots: createRobots({ now: Date.now, product: PRODUCT }),
    };
    const request = { ...BASE, ...withConfig({ requests_per_host: limit }) };
    const lists = await Promise.all(Array.from({ length: limit }, () => collectSources(request, tools)));
    for (const list of lists) assert.deepEqual([list.state, list.servers.length], ["ok", 5]);
  }
});

Deno.test("limiter: several episodes of one host → one shared request cap", async () => {
  let [running, most] = [0, 0];
  const site = selectBase64Site();
  const slow: Site = async (request, url) => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
    return await site(request, url);
  };
  const { fetch } = createSites({ ...ALL_PLAYERS, "site.test": slow });
  const tools = { fetch, signal: new AbortController().signal, now: Date.now, limiter: createPerHostLimiter() };
  const requests = Array.from({ length: 12 }, (_, index) => ({ ...BASE, malId: index + 1, episode: 1 + index % 2 }));
  await Promise.all(requests.map((request) => collectSources(request, tools)));
  assert.equal(most, 4);
});

Deno.test("collectSources: thousands of bad options → bounded failures", async () => {
  const options = Array.from(
    { length: 3_000 },
    (_, index) => ({
      label: `${index}`,
      value: index === 0 ? base64(`<iframe src="https://plain.test/e"></iframe>`) : "!",
    }),
  );
  const list = await collect({ ...ALL_PLAYERS, "site.test": selectBase64Site(options) }).list;
  assert.deepEqual([list.servers.length, list.failures.length], [1, MAX_SERVERS]);
});
