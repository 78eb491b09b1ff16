// The operator's function against a real Postgres and the REST gateway.
import assert from "node:assert/strict";
import { createFunctionFixture, type FunctionFixture } from "../../dev/testing/function_fixture.ts";
import { buildArchiveApp } from "./build.ts";

function operator(fixture: FunctionFixture) {
  const app = buildArchiveApp(fixture.env);
  return async (method: string, path: string, body?: string, headers: Record<string, string> = {}) => {
    const response = await app.request(path, {
      method,
      headers: { apikey: fixture.secretKey, ...headers },
      ...(body !== undefined && { body }),
    });
    return { status: response.status, body: await response.json() };
  };
}

const CATALOGUE = [
  {
    mal_id: 7,
    episode: 1,
    title: "One",
    rights: "own work",
    sources: [{ url: "https://own.test/1.mp4", resolution: "720p" }],
  },
  { mal_id: 7, episode: 2, title: "Two", rights: "own work", sources: [{ url: "https://own.test/2.m3u8" }] },
];

Deno.test("every route but health → requires a secret key of the project", async () => {
  await using fixture = await createFunctionFixture();
  const app = buildArchiveApp(fixture.env);
  assert.equal((await app.request("/archive/health")).status, 200);
  fixture.calls.length = 0;
  for (
    const headers of [{}, { apikey: "sb_publishable_x" }, { apikey: `${fixture.secretKey}x` }, {
      authorization: "Bearer no",
    }]
  ) {
    for (
      const [method, path] of [["GET", "/archive/counts"], ["POST", "/archive/catalogue"], [
        "POST",
        "/archive/videos/retry",
      ], ["GET", "/nowhere"]] as const
    ) {
      const response = await app.request(path, { method, headers: headers as Record<string, string> });
      assert.deepEqual([response.status, (await response.json()).code], [401, "not_authenticated"], path);
    }
  }
  assert.deepEqual(fixture.calls, []);
  assert.equal(
    (await app.request("/archive/counts", { headers: { authorization: `Bearer ${fixture.secretKey}` } })).status,
    200,
  );
});

Deno.test("POST /archive/catalogue: dry run → report only; same body → written", async () => {
  await using fixture = await createFunctionFixture();
  const ask = operator(fixture);
  const dry = await ask("POST", "/archive/catalogue?dry_run=1", JSON.stringify(CATALOGUE));
  assert.deepEqual([dry.status, dry.body.report.added, dry.body.report.dry_run], [200, 2, true]);
  assert.equal((await fixture.database.sql`select * from public.catalogue`).length, 0);
  const wet = await ask("POST", "/archive/catalogue", JSON.stringify(CATALOGUE));
  assert.equal(wet.body.report.added, 2);
  assert.equal((await ask("POST", "/api/v1/archive/catalogue", JSON.stringify(CATALOGUE))).body.report.unchanged, 2);
  assert.equal((await fixture.database.sql`select * from public.catalogue`).length, 2);
});

Deno.test("POST /archive/catalogue as CSV: rows of one episode are its sources", async () => {
  await using fixture = await createFunctionFixture();
  const csv = 'mal_id,episode,title,rights,url,resolution\n7,1,"One, part one",own work,https://own.test/1.mp4,720p\n' +
    "7,1,,,https://own.test/1-480.mp4,480p\n";
  const { status } = await operator(fixture)("POST", "/archive/catalogue", csv, { "content-type": "text/csv" });
  assert.equal(status, 200);
  const [row] = await fixture.database.sql`select title, jsonb_array_length(sources) as sources from public.catalogue`;
  assert.deepEqual([row?.title, row?.sources], ["One, part one", 2]);
});

Deno.test("POST /archive/catalogue: bad lines → named, nothing is written", async () => {
  await using fixture = await createFunctionFixture();
  const ask = operator(fixture);
  const bad = [
    ["javascript:alert(1)", "720p"],
    ["https://own.test/a\u0000b", "720p"],
    ["https://own.test/1.mp4", "<script>"],
    ["--version", "720p"],
  ].map(([url, resolution], index) => ({
    mal_id: index === 3 ? 2 ** 31 : 7,
    episode: index + 1,
    sources: [{ url, resolution }],
  }));
  const text = `[\n${[CATALOGUE[0], ...bad].map((entry) => JSON.stringify(entry)).join(",\n")}\n]`;
  const { status, body } = await ask("POST", "/archive/catalogue", text);
  assert.deepEqual([status, body.success, body.code], [400, false, "invalid_input"]);
  assert.deepEqual(body.problems.map((one: { line: number }) => one.line), [3, 4, 5, 6]);
  assert.equal((await fixture.database.sql`select * from public.catalogue`).length, 0);
  for (const broken of ["{", "7", "null", '{"__proto__":{"x":1}}']) {
    assert.equal((await ask("POST", "/archive/catalogue", broken)).status, 400);
  }
});

Deno.test("POST /archive/providers: bad entry → named; good list → replaces", async () => {
  await using fixture = await createFunctionFixture();
  const ask = operator(fixture);
  const bad = await ask(
    "POST",
    "/archive/providers",
    '[\n{"name":"ok","recipe":"catalogue"},\n{"name":"../../x","recipe":"magic"}]',
  );
  assert.equal(bad.status, 400);
  assert.deepEqual([bad.body.problems[0].line, bad.body.problems[0].name], [3, "../../x"]);
  const good = JSON.stringify([{ name: "own", recipe: "catalogue", rights: "own work" }]);
  assert.deepEqual((await ask("POST", "/archive/providers?dry_run=true", good)).body.report.added, ["own"]);
  assert.equal((await fixture.database.sql`select * from public.providers where name = 'own'`).length, 0);
  await ask("POST", "/archive/providers", good);
  assert.equal((await fixture.database.sql`select * from public.providers where name = 'own'`).length, 1);
});

Deno.test("counts, list, retry and cancel", async () => {
  await using fixture = await createFunctionFixture();
  const ask = operator(fixture);
  const sql = fixture.database.serviceRole;
  await sql`insert into public.providers (name, recipe, rights) values ('own', 'page', 'own work')`;
  await sql`select public.enqueue_video(7, 1, 'own', 'https://own.test/1.mp4', '720p')`;
  await sql`select public.enqueue_video(7, 2, 'own', 'https://own.test/2.mp4', '720p')`;
  const jobs = await sql`select * from public.claim_pending_videos(2, 'test')`;
  await sql`select public.update_video_queue_status(${jobs[0]!.id}, 'failed', 'gone', ${
    jobs[0]!.lease_token
  }, 'unsupported')`;

  const { counts } = (await ask("GET", "/archive/counts")).body;
  assert.deepEqual([counts.downloading, counts.dead], [1, 1]);
  const failed = (await ask("GET", "/archive/videos?status=failed&mal_id=7&limit=5")).body.videos;
  assert.deepEqual(failed.map((one: { id: string }) => one.id), [jobs[0]!.id]);
  assert.ok(!("video_url" in failed[0]) && !("lease_token" in failed[0]));

  const retried = await ask("POST", `/archive/videos/${jobs[0]!.id}/retry`);
  assert.deepEqual([retried.status, retried.body.video.status], [200, "pending"]);
  assert.equal((await ask("POST", `/archive/videos/${jobs[0]!.id}/retry`)).status, 409);
  assert.equal((await ask("POST", "/archive/videos/retry")).body.retried, 0);
  assert.equal((await ask("POST", `/archive/videos/${jobs[0]!.id}/cancel`)).status, 200);
  assert.equal((await ask("POST", `/archive/videos/${crypto.randomUUID()}/cancel`)).status, 404);
  for (const path of ["/archive/videos/x/retry", "/archive/videos/x/cancel"]) {
    assert.equal((await ask("POST", path)).status, 400);
  }
  for (const query of ["status=nonsense", "mal_id=x", "limit=0", "limit=1e9"]) {
    assert.equal((await ask("GET", `/archive/videos?${query}`)).status, 400);
  }
});

Deno.test("GET /videos by pages: equal timestamps → every job exactly once", async () => {
  await using fixture = await createFunctionFixture();
  const ask = operator(fixture);
  await fixture.database.sql`
    insert into public.video_queue (mal_id, episode, provider, video_url, updated_at)
    select 7, n, 'own', 'https://own.test/', timestamptz '2026-01-01 00:00:00.123456Z' + make_interval(secs => n / 3)
    from generate_series(1, 10) n`;
  const episodes: number[] = [];
  let query = "";
  for (let pages = 0; pages < 4; pages++) {
    const { videos, next } = (await ask("GET", `/archive/videos?mal_id=7&limit=4${query}`)).body;
    episodes.push(...videos.map((video: { episode: number }) => video.episode));
    if (next === null) break;
    query = `&cursor=${encodeURIComponent(next)}`;
  }
  assert.deepEqual(episodes.map((episode) => Math.floor(episode / 3)), [3, 3, 2, 2, 2, 1, 1, 1, 0, 0]);
  assert.equal(new Set(episodes).size, 10);
  assert.equal((await ask("GET", "/archive/videos?mal_id=7&limit=10")).body.videos.length, 10);
  const forged = btoa(`2026-01-01T00:00:00Z ${crypto.randomUUID()},status.eq.ready`);
  for (const cursor of ["x", "%F0", btoa("2026 x"), forged]) {
    assert.equal((await ask("GET", `/archive/videos?cursor=${encodeURIComponent(cursor)}`)).status, 400, cursor);
  }
});

Deno.test("a body over the limit → 413", async () => {
  await using fixture = await createFunctionFixture();
  const { status, body } = await operator(fixture)("POST", "/archive/catalogue", "x".repeat(9 * 1024 * 1024));
  assert.deepEqual([status, body.code], [413, "too_large"]);
});

Deno.test("database down → 503 without the database's error text", async () => {
  await using fixture = await createFunctionFixture();
  fixture.setDatabaseUp(false);
  const { status, body } = await operator(fixture)("GET", "/archive/counts");
  assert.deepEqual([status, body.code], [503, "database_unavailable"]);
});

Deno.test("PUT /archive/mappings: set → overrides discovery; deleted → undone", async () => {
  await using fixture = await createFunctionFixture();
  const ask = operator(fixture);
  const mapping = () => fixture.database.sql`select mapping, by_operator from public.title_mappings`;
  assert.equal((await ask("PUT", "/archive/mappings/7/animasu", '{"page":"/anime/seven/"}')).status, 200);
  await fixture.database.serviceRole`select public.save_title_mapping(7, 'animasu', '{"page":"/found/"}', 60)`;
  assert.deepEqual((await mapping()).map((row) => [row.mapping.page, row.by_operator]), [["/anime/seven/", true]]);
  assert.equal((await ask("PUT", "/archive/mappings/7/animasu", '{"page":null}')).status, 200);
  assert.equal((await mapping()).length, 0);
  const bad = [["0/a", '{"page":"/x"}'], ["7/..%2fx", '{"page":"/x"}'], ["7/a", "{}"], ["7/a", '{"page":"a\\nb"}'], [
    "7/a",
    "no",
  ]];
  for (const [path, body] of bad) assert.equal((await ask("PUT", `/archive/mappings/${path}`, body)).status, 400, path);
});

Deno.test("read-only database: a read → 200, a write → 503 database_read_only", async () => {
  await using fixture = await createFunctionFixture();
  const ask = operator(fixture);
  await fixture.database.admin.unsafe(`alter database ${fixture.database.name} set default_transaction_read_only = on`);
  await fixture.database.admin`
    select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'gateway'`;
  let retried = await ask("POST", "/archive/videos/retry");
  for (let turn = 0; turn < 100 && retried.body.code !== "database_read_only"; turn++) {
    retried = await ask("POST", "/archive/videos/retry");
  }
  assert.deepEqual([retried.status, retried.body.code], [503, "database_read_only"]);
  assert.match(retried.body.detail, /^read-only: .*25006/);
  const writes = [
    await ask("POST", "/archive/catalogue", JSON.stringify(CATALOGUE)),
    await ask("PUT", "/archive/mappings/1/site", JSON.stringify({ page: "/x/" })),
    await ask("PUT", "/archive/mappings/1/site", JSON.stringify({ page: null })),
    await ask("POST", "/archive/providers", "[]"),
    await ask("POST", `/archive/videos/${crypto.randomUUID()}/retry`),
  ];
  assert.deepEqual(
    writes.map(({ status, body }) => [status, body.code]),
    writes.map(() => [503, "database_read_only"]),
  );
  for (const path of ["counts", "videos", "providers", "health"]) {
    assert.equal((await ask("GET", `/archive/${path}`)).status, 200, path);
  }
  assert.equal((await ask("POST", "/archive/catalogue?dry_run=1", JSON.stringify(CATALOGUE))).status, 200);
});
