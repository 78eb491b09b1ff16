// `deno task ks check` as a process: what it prints, and its exit code.
import assert from "node:assert/strict";
import { NO_SYSTEM as none, runQuietly as run } from "./command_process.ts";
import { createOperatorFixture } from "./operator_fixture.ts";
import { base64, episodeListPage, mirrorPage } from "../dev/emulators/sites/select_base64_site.ts";
import { type ServedSite, serveSite } from "../dev/emulators/sites/serve.ts";
import { CHALLENGE_PAGE, hangs, htmlResponse, type Site } from "../dev/emulators/sites/sites.ts";

/** A site for every failure, selected by the first segment of the path. */
function failingSite(self: () => string): Site {
  const list = (to: string) => htmlResponse(episodeListPage([{ label: "Episode 1", href: to }]));
  const servers: Readonly<Record<string, string>> = {
    unsupported: "<h1>Welcome</h1>",
    subscription: `<div data-page='{"props":{"url":null}}'></div>`,
    good: `<script>p.setup({file:"/media/1.mp4"})</script>`,
  };
  const pagesOf: Readonly<Record<string, () => Response | Promise<Response>>> = {
    empty: () => htmlResponse(episodeListPage([])),
    parse: () => list("/episode/parse/"),
    blocked: () => htmlResponse(CHALLENGE_PAGE, { status: 403 }),
    http_4xx: () => new Response("", { status: 410 }),
    http_5xx: () => new Response("", { status: 500 }),
    too_large: () => htmlResponse("x".repeat(600_000)),
    private: () => Response.redirect("http://10.0.0.1/"),
  };
  return (request, url) => {
    const [first = "", second = ""] = url.pathname.slice(1).split("/");
    if (first === "robots.txt") return new Response("User-agent: *\nDisallow: /robots/");
    if (first === "timeout") return hangs(request);
    if (first === "media") {
      return new Response("ab", {
        status: 206,
        headers: { "content-type": "video/mp4", "content-range": "bytes 0-1/2" },
      });
    }
    if (first === "episode") {
      const value = second === "parse" ? "not base64" : base64(`<iframe src="${self()}/player/${second}"></iframe>`);
      return htmlResponse(mirrorPage([{ label: "720p", value }]));
    }
    if (first === "player") {
      return servers[second] === undefined ? new Response("", { status: 404 }) : htmlResponse(servers[second]);
    }
    return pagesOf[first]?.() ?? list(`/episode/${first}/`);
  };
}

const entryOf = (site: ServedSite, more: Record<string, unknown> = {}) => ({
  name: "animasu",
  recipe: "select-base64",
  base_url: site.url,
  rights: "own work",
  ...more,
});

Deno.test("ks check: an entry that plays → findings, nothing written, exit 0", async () => {
  await using set = await createOperatorFixture();
  await using site = serveSite(failingSite(() => site.url));
  const { fixture } = set;
  await fixture.database.sql`select public.apply_providers(${JSON.stringify([entryOf(site)])}::text::jsonb, false)`;
  const env = { ...set.env, DEV_ALLOWED_ORIGINS: site.url };
  const { code, out, err } = await run("check", ["animasu", "--title", "7", "--page", "/good/"], env);
  assert.deepEqual([code, err, out.split("\n")], [0, "", [
    `ok    entry   animasu reads ${site.url} by the recipe select-base64`,
    "ok    rights  archiving rights: own work",
    "ok    page    mapped to /good/",
    "ok    list    1 servers for episode 1",
    `ok    server  127.0.0.1 720p, 720p: mp4 at ${new URL(site.url).host} (jwplayer: setup-file)`,
    "ok    media   127.0.0.1 720p: video/mp4",
    "this provider plays",
    "",
  ]]);
  assert.equal((await fixture.database.sql`select from public.video_queue`).length, 0);
  assert.equal((await fixture.database.admin`select from keepstream.source_lists`).length, 0);

  // Without --page the operator's mapping is used.
  await fixture.database.sql`select public.save_title_mapping(7, 'animasu', '{"page": "/good/"}', null, true)`;
  const json = await run("check", ["animasu", "--title=7", "--json"], env);
  const report = JSON.parse(json.out);
  assert.deepEqual([json.code, report.provider, report.title, report.episode, report.plays], [
    0,
    "animasu",
    7,
    1,
    true,
  ]);
  assert.deepEqual(report.steps.map((one: { step: string; outcome: string }) => `${one.step} ${one.outcome}`), [
    "entry good",
    "rights good",
    "page good",
    "list good",
    "server good",
    "media good",
  ]);
});

Deno.test("ks check: a catalogue → its row is read and plays, exit code 0", async () => {
  await using set = await createOperatorFixture();
  await using site = serveSite(failingSite(() => site.url));
  const { sql } = set.fixture.database;
  await sql`select public.apply_providers('[{"name":"own","recipe":"catalogue"}]', false)`;
  const entry = { mal_id: 7, episode: 2, rights: "own work", sources: [{ url: `${site.url}/media/1.mp4` }] };
  await sql`select public.import_catalogue(${JSON.stringify([entry])}::text::jsonb, false)`;
  const env = { ...set.env, DEV_ALLOWED_ORIGINS: site.url };
  const { code, out } = await run("check", ["own", "--title", "7", "--episode", "2"], env);
  assert.deepEqual([code, out.split("\n").slice(1)], [0, [
    "ok    rights  archiving rights: own work",
    "ok    list    1 servers for episode 2",
    `ok    server  127.0.0.1: mp4 at ${new URL(site.url).host}`,
    "ok    media   127.0.0.1: video/mp4",
    "this provider plays",
    "",
  ]]);
  const absent = await run("check", ["own", "--title", "7", "--episode", "3"], env);
  assert.equal(absent.code, 1);
  assert.match(absent.out, /^FAIL {2}list {4}no_mapping – the catalogue has no such episode: import it/m);
});

Deno.test("ks check: terminal escapes in labels → not printed", async () => {
  await using set = await createOperatorFixture();
  const label = "Evil \u001b]0;owned\u0007\u001b[2J\u009b31m\u202egp\u2066 720p";
  await using site = serveSite((_request, url) =>
    url.pathname === "/good/"
      ? htmlResponse(episodeListPage([{ label: "Episode 1", href: "/episode/" }]))
      : url.pathname === "/episode/"
      ? htmlResponse(mirrorPage([{ label, value: base64(`<iframe src="${site.url}/e"></iframe>`) }, {
        label,
        value: "not base64",
      }]))
      : new Response("", { status: 404 })
  );
  const file = await set.write("list.json", JSON.stringify([entryOf(site, { rights: label })]));
  const env = { ...set.env, DEV_ALLOWED_ORIGINS: site.url };
  const args = ["animasu", "--file", file, "--page", "/good/"];
  const { out } = await run("check", args, env);
  assert.match(out, /^FAIL {2}server {2}Evil \]0;owned\[2J31mgp 720p, 720p: http_4xx/m);
  assert.match(out, /^note {2}list {4}Evil \]0;owned\[2J31mgp 720p: parse/m);
  const json = (await run("check", [...args, "--json"], env)).out;
  // deno-lint-ignore no-control-regex
  const commands = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
  for (const printed of [out, json]) assert.doesNotMatch(printed, commands);
  assert.ok(JSON.parse(json).steps.some(({ detail }: { detail: string }) => detail.includes(label)));
});

Deno.test("ks check: no rights, or switched off → reported, and it may still play", async () => {
  await using set = await createOperatorFixture();
  await using site = serveSite(failingSite(() => site.url));
  const file = await set.write("list.json", JSON.stringify([entryOf(site, { rights: null, enabled: false })]));
  const env = { ...set.env, DEV_ALLOWED_ORIGINS: site.url };
  const { code, out } = await run("check", ["animasu", "--file", file, "--page", "/good/"], env);
  assert.equal(code, 0);
  assert.match(out, /^note {2}rights {2}no rights are stated: servers are streamed, nothing is archived$/m);
  assert.match(out, /^note {2}entry {3}the entry is switched off/m);
});

for (
  const [code, args, why] of [
    ["no_mapping", [], "map the title to its page"],
    ["empty", ["--page", "/empty/"], "the page lists nothing for this episode"],
    ["empty", ["--page", "/good/", "--episode", "9"], "the page lists nothing for this episode"],
    ["parse", ["--page", "/parse/"], "the page does not have the structure this recipe reads"],
    ["blocked", ["--page", "/blocked/"], "the site requires a browser"],
    ["robots", ["--page", "/robots/"], "robots.txt excludes this"],
    ["http_4xx", ["--page", "/http_4xx/"], "the site does not have this URL"],
    ["http_5xx", ["--page", "/http_5xx/"], "the site is failing"],
    ["timeout", ["--page", "/timeout/"], "the site did not respond in time"],
    ["too_large", ["--page", "/too_large/"], "the page is larger"],
    ["policy_denied", ["--page", "/private/"], "a URL is private"],
    ["unsupported", ["--page", "/unsupported/"], "no resolver recognises the player's page"],
    ["subscription", ["--page", "/subscription/"], "the player is for subscribers"],
    ["http_4xx", ["--page", "/gone/"], "the site does not have this URL"],
  ] as const
) {
  Deno.test(`ks check: ${args.join(" ")} → ${code} with advice, exit code 1`, async () => {
    const dir = await Deno.makeTempDir();
    await using site = serveSite(failingSite(() => site.url));
    const file = `${dir}/list.json`;
    await Deno.writeTextFile(file, JSON.stringify([entryOf(site)]));
    // Only a project on this machine may allow its origins.
    const env = { SUPABASE_URL: "http://127.0.0.1:1", DEV_ALLOWED_ORIGINS: site.url };
    const ended = await run("check", ["animasu", "--file", file, ...args], env);
    await Deno.remove(dir, { recursive: true });
    assert.equal(ended.code, 1, ended.out + ended.err);
    assert.match(ended.out, new RegExp(`^FAIL  (list|server)  +(.*: )?${code} – .*${why}`, "m"));
    assert.match(ended.out, /nothing of this provider plays\n$/);
    assert.equal(ended.err, "");
  });
}

Deno.test("ks check: an unreachable site → network; a private one → policy_denied", async () => {
  await using set = await createOperatorFixture();
  const file = await set.write(
    "list.json",
    JSON.stringify([
      { name: "gone", recipe: "select-base64", base_url: "http://127.0.0.1:9" },
      { name: "bad", recipe: "magic" },
    ]),
  );
  const denied = await run("check", ["gone", "--file", file, "--page", "/x/"], none);
  assert.deepEqual([denied.code, /policy_denied – /.test(denied.out)], [1, true]);
  const elsewhere = { SUPABASE_URL: "https://ref.supabase.test", DEV_ALLOWED_ORIGINS: "http://127.0.0.1:9" };
  assert.match(
    (await run("check", ["gone", "--file", file, "--page", "/x/"], elsewhere)).out,
    /policy_denied/,
  );
  const allowed = { SUPABASE_URL: "http://127.0.0.1:1", DEV_ALLOWED_ORIGINS: "http://127.0.0.1:9" };
  assert.match(
    (await run("check", ["gone", "--file", file, "--page", "/x/"], allowed)).out,
    /network – the site is unreachable/,
  );
  const bad = await run("check", ["bad", "--file", file], none);
  assert.deepEqual([bad.code, bad.out.split("\n")[0]], [
    1,
    "FAIL  entry   recipe: must be one of catalogue, select-base64, admin-ajax, admin-ajax-nonce, internet-archive, peertube",
  ]);
});
