// A provider's config.headers may contain a cookie or a credential: they are sent to the origin of base_url only.
import assert from "node:assert/strict";
import { nonceSite } from "../dev/emulators/sites/admin_ajax_site.ts";
import { base64, selectBase64Site } from "../dev/emulators/sites/select_base64_site.ts";
import { createSites, htmlResponse, type Site } from "../dev/emulators/sites/sites.ts";
import { collectSources, PRODUCT } from "./collect.ts";
import { checkProviderList } from "./providers/entry.ts";
import type { ProviderEntry } from "./recipes/recipe.ts";
import { createRobots } from "./fetch/robots.ts";

const SECRETS = { cookie: "session=secret", authorization: "Bearer secret", "x-own": "secret" };
const NAMES = Object.keys(SECRETS);

/** Reads an episode. Returns the list, the origins that received all of the headers, and those that received none. */
async function read(
  sites: Readonly<Record<string, Site>>,
  provider: Partial<ProviderEntry> = {},
) {
  const { fetch } = createSites(sites);
  const sent = new Map<string, boolean>();
  const watched = (input: string, init?: RequestInit) => {
    const headers = new Headers(init?.headers);
    const secrets = NAMES.filter((name) => headers.get(name)?.includes("secret"));
    const { origin } = new URL(input);
    assert.ok(secrets.length === 0 || secrets.length === NAMES.length);
    assert.ok(
      (sent.get(origin) ?? secrets.length > 0) === secrets.length > 0,
      `${origin} was requested with and without them`,
    );
    sent.set(origin, secrets.length > 0);
    return fetch(input, init);
  };
  const entry = {
    name: "p",
    recipe: "select-base64",
    base_url: "https://site.test",
    config: { headers: SECRETS },
    ...provider,
  };
  const request = { malId: 1, episode: 1, provider: entry, page: "/anime/some-title/", catalogue: null };
  const list = await collectSources(request, {
    fetch: watched,
    signal: new AbortController().signal,
    now: Date.now,
    robots: createRobots({ now: Date.now, product: PRODUCT }),
    megaApiUrl: "https://api.test",
  });
  const origins = (own: boolean) =>
    [...sent].filter(([, received]) => received === own).map(([origin]) => origin).sort();
  return { list, given: origins(true), without: origins(false) };
}

const options = (...links: readonly string[]) =>
  links.map((link, index) => ({ label: `${index}`, value: base64(`<iframe src="${link}"></iframe>`) }));
const redirect = (location: string): Site => () => new Response(null, { status: 302, headers: { location } });

Deno.test("config.headers: the site's pages → sent; embed hosts → not", async () => {
  const { list, given, without } = await read({
    "site.test": (request, url) =>
      url.pathname === "/e/own"
        ? htmlResponse(`<script>p.setup({file:"/stream"})</script>`)
        : url.pathname === "/stream"
        ? new Response("#EXTM3U", { headers: { "content-type": "application/vnd.apple.mpegurl" } })
        : selectBase64Site(options(
          "https://embed.test/e",
          "https://sub.site.test/e",
          "http://site.test/e",
          "https://site.test:8080/e",
          "https://site.test/e/own",
          "https://mega.test/embed/AbCdEf12#AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        ))(request, url),
    "embed.test": () => htmlResponse(`<script>p.setup({file:"https://cdn.test/stream"})</script>`),
    "cdn.test": () => new Response("x", { headers: { "content-type": "video/mp4" } }),
  });
  assert.deepEqual(given, ["https://site.test"]);
  assert.deepEqual(without, [
    "http://site.test",
    "https://api.test",
    "https://cdn.test",
    "https://embed.test",
    "https://site.test:8080",
    "https://sub.site.test",
  ]);
  // The headers for the media host, which players, the Worker and the runner send, are stored with the server.
  for (const { headers } of list.servers) {
    assert.deepEqual(Object.keys(headers).filter((name) => name !== "referer"), []);
  }
  assert.ok(!JSON.stringify(list).includes("secret"));
});

Deno.test("config.headers: redirect to another origin → not sent", async () => {
  for (
    const elsewhere of [
      "https://other.test",
      "https://www.site.test",
      "http://site.test",
      "https://site.test:8080",
    ]
  ) {
    const { given, without } = await read({
      "site.test": redirect(`${elsewhere}/x`),
      [new URL(elsewhere).host]: (_, url) =>
        url.origin === "https://site.test" ? redirect(`${elsewhere}/x`)(_, url) : htmlResponse("moved"),
    });
    assert.deepEqual([given, without], [["https://site.test"], [elsewhere]]);
  }
});

Deno.test("config.headers: an http base_url → not to https of the host", async () => {
  const site: Site = (request, url) =>
    url.protocol === "http:" ? redirect(`https://site.test${url.pathname}`)(request, url) : htmlResponse("moved");
  const { given, without } = await read({ "site.test": site }, { base_url: "http://site.test/path" });
  assert.deepEqual([given, without], [["http://site.test"], ["https://site.test"]]);
});

Deno.test("config.headers: redirect back to the origin → sent again", async () => {
  const site = selectBase64Site();
  const { given, without, list } = await read({
    "site.test": (request, url) =>
      url.pathname === "/anime/some-title/" && url.search === ""
        ? redirect("https://other.test/login")(request, url)
        : site(request, url),
    "other.test": redirect("https://site.test/anime/some-title/?back=1"),
  });
  assert.equal(list.state, "ok");
  assert.ok(given.includes("https://site.test") && without.includes("https://other.test"));
});

Deno.test("config.headers: robots.txt redirected elsewhere → not sent", async () => {
  const site = selectBase64Site(options("https://site.test/a.mp4"));
  const { given, without } = await read({
    "site.test": (request, url) =>
      url.pathname === "/robots.txt" ? redirect("https://robots.test/r")(request, url) : site(request, url),
    "robots.test": () => new Response(""),
  });
  assert.deepEqual([given, without], [["https://site.test"], ["https://robots.test"]]);
});

Deno.test("config.headers: admin-ajax requests → sent; players → not", async () => {
  const { given, without } = await read({
    "ajax.test": nonceSite({ nonces: ["n"], validNonce: "n" }),
    "player.test": () => htmlResponse("x"),
  }, { recipe: "admin-ajax-nonce", base_url: "https://ajax.test" });
  assert.deepEqual([given, without], [["https://ajax.test"], ["https://player.test"]]);
});

Deno.test("config.headers without base_url → refused, and sent nowhere", async () => {
  const entry = { name: "own", recipe: "catalogue", config: { headers: SECRETS } };
  assert.equal(checkProviderList([entry]).ok, false);
  assert.equal(checkProviderList([{ ...entry, base_url: "https://own.test" }]).ok, true);
  const { given } = await read({ "site.test": selectBase64Site() }, { base_url: null });
  assert.deepEqual(given, []);
});
