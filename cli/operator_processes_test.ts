// The operator's commands as they are typed: programs of their own, what they print where, and how they end.
import assert from "node:assert/strict";
import { createOperatorFixture } from "./operator_fixture.ts";
import { base64, episodeListPage, mirrorPage } from "../dev/emulators/sites/select_base64_site.ts";
import { type ServedSite, serveSite } from "../dev/emulators/sites/serve.ts";
import { CHALLENGE_PAGE, hangs, htmlResponse, type Site } from "../dev/emulators/sites/sites.ts";

const ROOT = new URL("..", import.meta.url).pathname;

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** `deno task <task> …args` without the task runner's own line and the one that says where the command works. */
async function run(
  task: "providers" | "provider_check" | "catalogue",
  args: readonly string[],
  env: Record<string, string>,
): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", `cli/${task}.ts`, ...args],
    cwd: ROOT,
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH")!, HOME: Deno.env.get("HOME")!, ...env },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr).replace(/^target: http.*\n/, "") };
}

const none = { KEEPSTREAM_DATA_DIR: "/nonexistent" };

/** One site for everything that can go wrong: the first part of a title's page says what. */
function troubledSite(self: () => string): Site {
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

Deno.test("provider:check of an entry that plays → what was found, exit code 0; nothing is written, nothing enqueued", async () => {
  await using set = await createOperatorFixture();
  await using site = serveSite(troubledSite(() => site.url));
  const { fixture } = set;
  await fixture.database.sql`select public.apply_providers(${JSON.stringify([entryOf(site)])}::text::jsonb, false)`;
  const env = { ...set.env, DEV_ALLOWED_ORIGINS: site.url };
  const { code, out, err } = await run("provider_check", ["animasu", "--title", "7", "--page", "/good/"], env);
  assert.deepEqual([code, err, out.split("\n")], [0, "", [
    `ok    entry   animasu reads ${site.url} by the recipe select-base64`,
    "ok    rights  copies are kept on the ground: own work",
    "ok    page    mapped to /good/",
    "ok    list    1 servers for episode 1",
    `ok    server  127.0.0.1 720p, 720p: mp4 at ${new URL(site.url).host}`,
    "ok    media   127.0.0.1 720p: video/mp4",
    "this provider plays",
    "",
  ]]);
  assert.equal((await fixture.database.sql`select from public.video_queue`).length, 0);
  assert.equal((await fixture.database.admin`select from keepstream.source_lists`).length, 0);

  // The operator's mapping is used where no page is named, and --json is for programs.
  await fixture.database.sql`select public.save_title_mapping(7, 'animasu', '{"page": "/good/"}', null, true)`;
  const json = await run("provider_check", ["animasu", "--title=7", "--json"], env);
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

Deno.test("provider:check of a catalogue → its row is read and plays, exit code 0", async () => {
  await using set = await createOperatorFixture();
  await using site = serveSite(troubledSite(() => site.url));
  const { sql } = set.fixture.database;
  await sql`select public.apply_providers('[{"name":"own","recipe":"catalogue"}]', false)`;
  const entry = { mal_id: 7, episode: 2, rights: "own work", sources: [{ url: `${site.url}/media/1.mp4` }] };
  await sql`select public.import_catalogue(${JSON.stringify([entry])}::text::jsonb, false)`;
  const env = { ...set.env, DEV_ALLOWED_ORIGINS: site.url };
  const { code, out } = await run("provider_check", ["own", "--title", "7", "--episode", "2"], env);
  assert.deepEqual([code, out.split("\n").slice(1)], [0, [
    "ok    rights  copies are kept on the ground: own work",
    "ok    list    1 servers for episode 2",
    `ok    server  127.0.0.1: mp4 at ${new URL(site.url).host}`,
    "ok    media   127.0.0.1: video/mp4",
    "this provider plays",
    "",
  ]]);
  const absent = await run("provider_check", ["own", "--title", "7", "--episode", "3"], env);
  assert.equal(absent.code, 1);
  assert.match(absent.out, /^FAIL {2}list {4}no_mapping – the catalogue has no such episode: import it/m);
});

Deno.test("provider:check of a site with terminal escapes in its labels → none is printed", async () => {
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
  const { out } = await run("provider_check", args, env);
  assert.match(out, /^FAIL {2}server {2}Evil \]0;owned\[2J31mgp 720p, 720p: http_4xx/m);
  assert.match(out, /^note {2}list {4}Evil \]0;owned\[2J31mgp 720p: parse/m);
  const json = (await run("provider_check", [...args, "--json"], env)).out;
  // deno-lint-ignore no-control-regex
  const commands = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
  for (const printed of [out, json]) assert.doesNotMatch(printed, commands);
  assert.ok(JSON.parse(json).steps.some(({ detail }: { detail: string }) => detail.includes(label)));
});

Deno.test("provider:check of a provider without rights, or switched off → said so, and it may still play", async () => {
  await using set = await createOperatorFixture();
  await using site = serveSite(troubledSite(() => site.url));
  const file = await set.write("list.json", JSON.stringify([entryOf(site, { rights: null, enabled: false })]));
  const env = { ...set.env, DEV_ALLOWED_ORIGINS: site.url };
  const { code, out } = await run("provider_check", ["animasu", "--file", file, "--page", "/good/"], env);
  assert.equal(code, 0);
  assert.match(out, /^note {2}rights {2}no rights are stated: servers are streamed, nothing is archived$/m);
  assert.match(out, /^note {2}entry {3}the entry is switched off/m);
});

for (
  const [code, args, why] of [
    ["no_mapping", [], "map the title to its page"],
    ["empty", ["--page", "/empty/"], "the page lists nothing for this episode"],
    ["empty", ["--page", "/good/", "--episode", "9"], "the page lists nothing for this episode"],
    ["parse", ["--page", "/parse/"], "the page is not of the shape this recipe reads"],
    ["blocked", ["--page", "/blocked/"], "the site wants a browser"],
    ["robots", ["--page", "/robots/"], "robots.txt excludes this"],
    ["http_4xx", ["--page", "/http_4xx/"], "the site does not have this address"],
    ["http_5xx", ["--page", "/http_5xx/"], "the site is in trouble"],
    ["timeout", ["--page", "/timeout/"], "the site did not answer in time"],
    ["too_large", ["--page", "/too_large/"], "the page is larger"],
    ["policy_denied", ["--page", "/private/"], "an address is private"],
    ["unsupported", ["--page", "/unsupported/"], "no resolver knows the player's page"],
    ["subscription", ["--page", "/subscription/"], "the player is for subscribers"],
    ["http_4xx", ["--page", "/gone/"], "the site does not have this address"],
  ] as const
) {
  Deno.test(`provider:check ${args.join(" ")} → ${code}, why and what to do, exit code 1`, async () => {
    const dir = await Deno.makeTempDir();
    await using site = serveSite(troubledSite(() => site.url));
    const file = `${dir}/list.json`;
    await Deno.writeTextFile(file, JSON.stringify([entryOf(site)]));
    // Only a project on this machine may be told of sites on it.
    const env = { SUPABASE_URL: "http://127.0.0.1:1", DEV_ALLOWED_ORIGINS: site.url };
    const ended = await run("provider_check", ["animasu", "--file", file, ...args], env);
    await Deno.remove(dir, { recursive: true });
    assert.equal(ended.code, 1, ended.out + ended.err);
    assert.match(ended.out, new RegExp(`^FAIL  (list|server)  +(.*: )?${code} – .*${why}`, "m"));
    assert.match(ended.out, /nothing of this provider plays\n$/);
    assert.equal(ended.err, "");
  });
}

Deno.test("provider:check: a site that cannot be reached → network; private ones are not asked without leave", async () => {
  await using set = await createOperatorFixture();
  const file = await set.write(
    "list.json",
    JSON.stringify([
      { name: "gone", recipe: "select-base64", base_url: "http://127.0.0.1:9" },
      { name: "bad", recipe: "magic" },
    ]),
  );
  const denied = await run("provider_check", ["gone", "--file", file, "--page", "/x/"], none);
  assert.deepEqual([denied.code, /policy_denied – /.test(denied.out)], [1, true]);
  const elsewhere = { SUPABASE_URL: "https://ref.supabase.test", DEV_ALLOWED_ORIGINS: "http://127.0.0.1:9" };
  assert.match(
    (await run("provider_check", ["gone", "--file", file, "--page", "/x/"], elsewhere)).out,
    /policy_denied/,
  );
  const allowed = { SUPABASE_URL: "http://127.0.0.1:1", DEV_ALLOWED_ORIGINS: "http://127.0.0.1:9" };
  assert.match(
    (await run("provider_check", ["gone", "--file", file, "--page", "/x/"], allowed)).out,
    /network – the site cannot be reached/,
  );
  const bad = await run("provider_check", ["bad", "--file", file], none);
  assert.deepEqual([bad.code, bad.out.split("\n")[0]], [
    1,
    "FAIL  entry   recipe: must be one of catalogue, select-base64, admin-ajax, admin-ajax-nonce, internet-archive, peertube",
  ]);
});

Deno.test("commands that cannot be carried out → one line on stderr, nothing on stdout, exit code 2", async () => {
  await using set = await createOperatorFixture();
  await set.fixture.database.sql`select public.apply_providers('[{"name":"own","recipe":"catalogue"}]', false)`;
  const text = await set.write("text.json", "no list");
  const csv = await set.write("own.csv", "mal_id,episode,url\n1,1,https://own.test/1.mp4\n");
  const cases: readonly (readonly [Parameters<typeof run>[0], readonly string[], Record<string, string>, RegExp])[] = [
    ["provider_check", ["nobody"], set.env, /^there is no provider nobody; known: own\n$/],
    ["provider_check", [], set.env, /^usage: deno task provider:check/],
    ["provider_check", ["own", "--title", "x"], set.env, /^usage/],
    ["provider_check", ["own", "--episode", "0"], set.env, /^usage/],
    ["provider_check", ["own", "--jsn"], set.env, /^Unknown option '--jsn'.*\nusage/s],
    ["provider_check", ["own", "--file", "/nowhere.json"], set.env, /nowhere\.json/],
    ["provider_check", ["own", "--file", text], set.env, /is not a JSON list of providers\n$/],
    ["provider_check", ["own"], none, /^no system to talk to/],
    [
      "provider_check",
      ["own"],
      { ...set.env, SUPABASE_SECRET_KEYS: '{"default":"sb_secret_wrong"}' },
      /^the list cannot be read/,
    ],
    ["providers", ["apply"], set.env, /^usage:\n {2}deno task providers/],
    ["providers", ["apply", "/nowhere.json"], set.env, /nowhere\.json/],
    ["providers", ["apply", text, "--dryrun"], set.env, /^Unknown option '--dryrun'/],
    [
      "providers",
      ["list"],
      { SUPABASE_URL: "http://127.0.0.1:9", SUPABASE_SECRET_KEYS: '{"a":"b"}' },
      /does not answer\n$/,
    ],
    ["catalogue", ["import", csv, "--dry_run"], set.env, /^Unknown option '--dry_run'/],
    ["catalogue", ["export", csv], set.env, /^usage: deno task catalogue/],
    ["catalogue", ["import", csv, csv], set.env, /^unexpected argument .*own\.csv\nusage/],
    ["catalogue", ["import", "/tmp"], set.env, /^cannot read \/tmp: .*\n$/],
    ["providers", ["apply", "/tmp"], set.env, /^cannot read \/tmp: .*\n$/],
    [
      "catalogue",
      ["import", csv],
      { ...set.env, SUPABASE_SECRET_KEYS: "sb_secret_x" },
      /^SUPABASE_SECRET_KEYS must be JSON/,
    ],
  ];
  for (const [task, args, env, words] of cases) {
    const { code, out, err } = await run(task, args, env);
    assert.deepEqual([code, out], [2, ""], `${task} ${args.join(" ")}: ${err}`);
    assert.match(err, words);
    assert.doesNotMatch(err, /\bat .*\.ts/, "no stack trace");
  }
  assert.equal(
    (await set.fixture.database.sql`select from public.catalogue`).length,
    0,
    "a mistyped --dry-run writes nothing",
  );
});

Deno.test("providers apply: dry run, difference, application, what list prints is what apply reads; bad entries by line, exit code 1", async () => {
  await using set = await createOperatorFixture();
  await set.fixture.database.sql`delete from public.providers where true`;
  const list = await set.write(
    "list.json",
    '\ufeff[\r\n  {"name": "own", "recipe": "catalogue"},\r\n  {"name": "b", "recipe": "peertube", "base_url": "https://tube.test"}\r\n]\r\n',
  );
  const dry = await run("providers", ["apply", list, "--dry-run"], set.env);
  assert.deepEqual(dry, { code: 0, out: "+ own (catalogue)\n+ b (peertube)\n", err: "" });
  assert.equal((await set.fixture.database.sql`select from public.providers`).length, 0);
  assert.match((await run("providers", ["apply", list], set.env)).out, /^\+ own.*\n\+ b.*\napplied to http/);
  const printed = await run("providers", ["list"], set.env);
  assert.deepEqual(JSON.parse(printed.out).map((one: { name: string }) => one.name), ["own", "b"]);
  const again = await run("providers", ["apply", await set.write("again.json", printed.out)], set.env);
  assert.match(again.out, /has this list already\n$/);

  const bad = await set.write(
    "bad.json",
    '[\n  {"name": "own", "recipe": "catalogue"},\n  {"name": "own", "recipe": "magic"},\n  7\n]',
  );
  const refused = await run("providers", ["apply", bad], set.env);
  assert.deepEqual([refused.code, refused.out], [1, ""]);
  assert.deepEqual(refused.err.split("\n"), [
    `${bad}:3: own: recipe: must be one of catalogue, select-base64, admin-ajax, admin-ajax-nonce, internet-archive, peertube`,
    `${bad}:3: own: name: own stands in the list twice`,
    `${bad}:4: entry: Invalid input: expected object, received number`,
    "",
  ]);
  const cut = await set.write("cut.json", '[\n  {"name": "own",\n');
  assert.match((await run("providers", ["apply", cut], set.env)).err, /cut\.json:3: entry: not JSON: /);
  assert.equal((await set.fixture.database.sql`select from public.providers`).length, 2);
});

Deno.test("catalogue import: BOM, CRLF, quotes, line breaks within quotes; each bad row by its own line and reason", async () => {
  await using set = await createOperatorFixture();
  const rows = async () =>
    (await set.fixture.database
      .sql`select episode, title, jsonb_array_length(sources) as sources from public.catalogue order by episode`)
      .map((row) => [row.episode, row.title, row.sources]);
  const good = await set.write(
    "own.csv",
    [
      "\ufeffmal_id,episode,title,rights,url,resolution,subtitles",
      '7,1,"One, the ""first""",own work,https://own.test/1.mp4,720p,en=https://own.test/1.vtt id=https://own.test/1.id.vtt',
      "7,1,,,https://own.test/1-480.mp4,480p,",
      "",
      '7,2,"Two',
      'lines",own work,https://own.test/2.mp4,,',
      "",
    ].join("\r\n"),
  );
  assert.deepEqual(await run("catalogue", ["import", good, "--dry-run"], set.env), {
    code: 0,
    out: "would write: 2 new, 0 changed, 0 as they were\n",
    err: "",
  });
  assert.deepEqual(await rows(), []);
  assert.equal((await run("catalogue", ["import", good], set.env)).out, "wrote: 2 new, 0 changed, 0 as they were\n");
  assert.deepEqual(await rows(), [[1, 'One, the "first"', 2], [2, "Two\r\nlines", 1]]);
  assert.equal((await run("catalogue", ["import", good], set.env)).out, "wrote: 0 new, 0 changed, 2 as they were\n");

  const bad = await set.write(
    "bad.csv",
    [
      "mal_id,episode,url,resolution",
      "7,1,https://own.test/1.mp4,720p",
      "7,1,ftp://own.test/1.mp4,480p",
      "0,x,https://own.test/1.mp4,<script>",
      "7,3,--version,",
    ].join("\r\n"),
  );
  const refused = await run("catalogue", ["import", bad], set.env);
  assert.deepEqual([refused.code, refused.out], [1, ""]);
  assert.deepEqual(refused.err.split("\n").map((line) => line.replace(bad, "bad.csv")), [
    "bad.csv:3: sources.1.url: must be an http or https address",
    "bad.csv:4: mal_id: Too small: expected number to be >=1",
    "bad.csv:4: episode: Invalid input: expected number, received string",
    "bad.csv:4: sources.0.resolution: must look like 720p",
    "bad.csv:5: sources.0.url: must be an http or https address",
    "5 entries cannot be used; nothing was written".replace("5", "3"),
    "",
  ]);
  for (
    const [name, text, words] of [
      ["open.csv", 'mal_id,episode,url\n7,1,"https://own.test/1.mp4\n', /open\.csv:\d: not CSV: /],
      [
        "columns.csv",
        "mal_id,episode,link\n7,1,https://own.test/1.mp4\n",
        /columns\.csv:1: unknown column link; known: mal_id/,
      ],
      ["short.csv", "mal_id,episode,url\n7,1\n", /short\.csv:2: not CSV: /],
      ["cut.json", '[\n{"mal_id": 7,\n', /cut\.json:3: not JSON: /],
      ["object.json", '{"mal_id": 7}', /object\.json:1: the catalogue must be a JSON array/],
      [
        "twice.json",
        '[\n{"mal_id":7,"episode":1,"sources":[{"url":"https://a.test/1"}]},\n{"mal_id":7,"episode":1,"sources":[{"url":"https://a.test/1"}]}\n]',
        /twice\.json:3: title 7\/1 stands in the list twice/,
      ],
    ] as const
  ) {
    const { code, err } = await run("catalogue", ["import", await set.write(name, text)], set.env);
    assert.equal(code, 1, name);
    assert.match(err, words);
  }
  const json = await set.write(
    "own.json",
    '\ufeff[{"mal_id":8,"episode":1,"sources":[{"url":"https://own.test/8.mp4"}]}]\r\n',
  );
  assert.equal((await run("catalogue", ["import", json], set.env)).code, 0);
});

Deno.test("catalogue import: columns separated by semicolons or tabs → read as a spreadsheet wrote them", async () => {
  await using set = await createOperatorFixture();
  for (const [malId, separator] of [[1, ";"], [2, "\t"]] as const) {
    const lines = [
      ["mal_id", "episode", "title", "rights", "url"],
      [malId, 1, "One, two", "own work", "https://own.test/1.mp4"],
    ];
    const text = lines.map((line) => line.join(separator)).join("\r\n");
    const { code, out } = await run("catalogue", ["import", await set.write("own.csv", text)], set.env);
    assert.deepEqual([code, out], [0, "wrote: 1 new, 0 changed, 0 as they were\n"]);
  }
  const rows = await set.fixture.database.sql`select title from public.catalogue`;
  assert.deepEqual(rows.map((row) => row.title), ["One, two", "One, two"]);
});

Deno.test("catalogue import: an address on this machine or network → refused by entry, with what to do", async () => {
  await using set = await createOperatorFixture();
  const addresses = [
    "http://127.0.0.1:8000/a.mp4",
    "http://192.168.1.10:8000/a.mp4",
    "http://[fd00::1]/a.mp4",
    "http://nas.local/a.mp4",
    "http://2130706433/a.mp4",
    "https://own.test:8443/a.mp4",
  ];
  const text = ["mal_id,episode,url", ...addresses.map((url, index) => `7,${index + 1},${url}`)].join("\n");
  const file = await set.write("own.csv", text);
  const { code, out, err } = await run("catalogue", ["import", file], set.env);
  assert.deepEqual([code, out], [1, ""]);
  const origin = (url: string) => new URL(url).origin;
  assert.deepEqual(err.replaceAll(file, "own.csv").trim().split("\n"), [
    ...addresses.map((url, index) =>
      `own.csv:${index + 2}: sources.0.url: ${origin(url)} would be refused when it is played or archived (${
        index === 5
          ? "port 8443): add it to EXTRA_PORTS of functions, runner and proxy"
          : `not a public host): use a public address, or start \`deno task dev --allow-origin ${origin(url)}\``
      }`
    ),
    "6 entries cannot be used; nothing was written",
  ]);
  // The operator function says the same to whoever calls it without the command.
  const { SUPABASE_URL: url, SUPABASE_SECRET_KEYS: keys } = set.env;
  const response = await fetch(`${url}/functions/v1/archive/catalogue`, {
    method: "POST",
    headers: { apikey: Object.values(JSON.parse(keys))[0] as string, "content-type": "text/csv" },
    body: text,
  });
  const { problems } = await response.json();
  assert.deepEqual([response.status, problems.length], [400, 6]);
});

Deno.test("catalogue import: a subtitle on this machine → refused; allowed origins are taken", async () => {
  const origin = "http://127.0.0.1:8000";
  const entry = {
    mal_id: 7,
    episode: 1,
    sources: [{ url: `${origin}/1.mp4`, subtitles: [{ url: "http://10.0.0.1/1.vtt" }] }],
  };
  await using set = await createOperatorFixture({ DEV_ALLOWED_ORIGINS: origin });
  const file = await set.write("own.json", JSON.stringify([entry]));
  const refused = await run("catalogue", ["import", file], set.env);
  assert.match(refused.err, /sources\.0\.subtitles\.0\.url: http:\/\/10\.0\.0\.1 would be refused/);
  entry.sources[0]!.subtitles = [];
  await Deno.writeTextFile(file, JSON.stringify([entry]));
  assert.equal((await run("catalogue", ["import", file], set.env)).out, "wrote: 1 new, 0 changed, 0 as they were\n");
});

Deno.test("catalogue import of 100,000 lines → in pieces with progress, every row there; once more, nothing changes", async () => {
  await using set = await createOperatorFixture();
  const lines = Array.from(
    { length: 100_000 },
    (_, index) =>
      `${1 + Math.floor(index / 1000)},${
        1 + index % 1000
      },"Episode ""${index}""",own work,https://own.test/${index}.mp4,720p`,
  );
  const file = await set.write("large.csv", ["mal_id,episode,title,rights,url,resolution", ...lines, ""].join("\r\n"));
  const first = await run("catalogue", ["import", file], set.env);
  assert.equal(first.out, "wrote: 100000 new, 0 changed, 0 as they were\n", first.err);
  const progress = first.err.trim().split("\n");
  assert.ok(progress.length > 10 && progress.at(-1) === "100000 of 100000", first.err);
  const [row] = await set.fixture.database
    .sql`select count(*)::int as all, count(distinct title)::int as titles from public.catalogue`;
  assert.deepEqual({ ...row }, { all: 100_000, titles: 100_000 });
  const bad = await set.write(
    "bad.csv",
    ["mal_id,episode,url", ...lines.map((_, index) => `${index},1,nowhere`)].join("\n"),
  );
  const refused = await run("catalogue", ["import", bad], set.env);
  assert.equal(refused.code, 1);
  assert.ok(refused.err.split("\n").length < 110 && /… and \d+ more\n100000 entries cannot be used/.test(refused.err));
});
