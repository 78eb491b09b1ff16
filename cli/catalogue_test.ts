// `deno task ks catalogue import` as a process.
import assert from "node:assert/strict";
import { runQuietly as run } from "./command_process.ts";
import { createOperatorFixture } from "./operator_fixture.ts";

Deno.test("ks catalogue: BOM, CRLF, quotes → imported; bad rows → line and reason", async () => {
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
    out: "would write: 2 new, 0 changed, 0 unchanged\n",
    err: "",
  });
  assert.deepEqual(await rows(), []);
  assert.equal((await run("catalogue", ["import", good], set.env)).out, "wrote: 2 new, 0 changed, 0 unchanged\n");
  assert.deepEqual(await rows(), [[1, 'One, the "first"', 2], [2, "Two\r\nlines", 1]]);
  assert.equal((await run("catalogue", ["import", good], set.env)).out, "wrote: 0 new, 0 changed, 2 unchanged\n");

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
    "bad.csv:3: sources.1.url: must be an http or https URL",
    "bad.csv:4: mal_id: Too small: expected number to be >=1",
    "bad.csv:4: episode: Invalid input: expected number, received string",
    "bad.csv:4: sources.0.resolution: must look like 720p",
    "bad.csv:5: sources.0.url: must be an http or https URL",
    "3 entries are invalid; nothing was written",
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
        /twice\.json:3: title 7\/1 is listed twice/,
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

Deno.test("ks catalogue: columns separated by semicolons or tabs → imported", async () => {
  await using set = await createOperatorFixture();
  for (const [malId, separator] of [[1, ";"], [2, "\t"]] as const) {
    const lines = [
      ["mal_id", "episode", "title", "rights", "url"],
      [malId, 1, "One, two", "own work", "https://own.test/1.mp4"],
    ];
    const text = lines.map((line) => line.join(separator)).join("\r\n");
    const { code, out } = await run("catalogue", ["import", await set.write("own.csv", text)], set.env);
    assert.deepEqual([code, out], [0, "wrote: 1 new, 0 changed, 0 unchanged\n"]);
  }
  const rows = await set.fixture.database.sql`select title from public.catalogue`;
  assert.deepEqual(rows.map((row) => row.title), ["One, two", "One, two"]);
});

Deno.test("ks catalogue: a private URL → refused by line, with advice", async () => {
  await using set = await createOperatorFixture();
  const urls = [
    "http://127.0.0.1:8000/a.mp4",
    "http://192.168.1.10:8000/a.mp4",
    "http://[fd00::1]/a.mp4",
    "http://nas.local/a.mp4",
    "http://2130706433/a.mp4",
    "https://own.test:8443/a.mp4",
  ];
  const text = ["mal_id,episode,url", ...urls.map((url, index) => `7,${index + 1},${url}`)].join("\n");
  const file = await set.write("own.csv", text);
  const { code, out, err } = await run("catalogue", ["import", file], set.env);
  assert.deepEqual([code, out], [1, ""]);
  const origin = (url: string) => new URL(url).origin;
  assert.deepEqual(err.replaceAll(file, "own.csv").trim().split("\n"), [
    ...urls.map((url, index) =>
      `own.csv:${index + 2}: sources.0.url: ${origin(url)} would be refused when it is played or archived (${
        index === 5
          ? "port 8443): add it to EXTRA_PORTS of functions, runner and proxy"
          : `not a public host): use a public URL, or start \`deno task dev --allow-origin ${origin(url)}\``
      }`
    ),
    "6 entries are invalid; nothing was written",
  ]);
  // The operator API refuses the same lines.
  const { SUPABASE_URL: url, SUPABASE_SECRET_KEYS: keys } = set.env;
  const response = await fetch(`${url}/functions/v1/archive/catalogue`, {
    method: "POST",
    headers: { apikey: Object.values(JSON.parse(keys))[0] as string, "content-type": "text/csv" },
    body: text,
  });
  const { problems } = await response.json();
  assert.deepEqual([response.status, problems.length], [400, 6]);
});

Deno.test("ks catalogue: private subtitle → refused; allowed origin → imported", async () => {
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
  assert.equal((await run("catalogue", ["import", file], set.env)).out, "wrote: 1 new, 0 changed, 0 unchanged\n");
});

Deno.test("ks catalogue: 100,000 lines → imported in chunks, with progress", async () => {
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
  assert.equal(first.out, "wrote: 100000 new, 0 changed, 0 unchanged\n", first.err);
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
  assert.ok(refused.err.split("\n").length < 110 && /… and \d+ more\n100000 entries are invalid/.test(refused.err));
});
