// When source lists and title mappings are fetched again, and what is served if that fails.
import assert from "node:assert/strict";
import { createFunctionFixture } from "../../dev/testing/function_fixture.ts";
import { base64, episodeListPage, mirrorPage } from "../../dev/emulators/sites/select_base64_site.ts";
import { serveSite } from "../../dev/emulators/sites/serve.ts";
import { htmlResponse } from "../../dev/emulators/sites/sites.ts";
import { searchSite, titleApi } from "../../dev/emulators/sites/title_api.ts";
import {
  addProviders,
  animeSite,
  eventually,
  mapTitle,
  queueRows,
  servers,
  startApp,
} from "../../dev/testing/streaming_fixture.ts";

Deno.test("stale list → served, revalidated; old or refresh=1 → fetched first", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url });
  const age = (text: string) =>
    fixture.database.admin`update keepstream.source_lists set fetched_at = now() - ${text}::interval where true`;
  const listReads = () => site.requests.filter((one) => one === "GET /episode-1/").length;
  await get();

  await age("25 minutes");
  const stale = await get();
  assert.equal(stale.body.providers.animasu?.cached, true);
  await eventually(async () => {
    const [row] = await fixture.database
      .admin`select fetched_at > now() - interval '1 minute' as fresh from keepstream.source_lists`;
    return row?.fresh;
  });
  assert.equal(listReads(), 2);

  await age("10 hours");
  assert.equal((await get()).body.providers.animasu?.cached, false);
  assert.equal(listReads(), 3);

  assert.equal((await get("/streaming/1/1?refresh=1")).body.providers.animasu?.cached, true); // read seconds ago
  await age("2 minutes");
  assert.equal((await get("/streaming/1/1?refresh=1")).body.providers.animasu?.cached, false);
  assert.equal(listReads(), 4);
});

Deno.test("cache: a list with an expired URL → read again", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url });
  await get();
  await fixture.database.admin`
    update keepstream.source_lists set fetched_at = now() - interval '61 seconds',
      servers = jsonb_set(servers, '{0,expires_at}', '"2020-01-01T00:00:00Z"') where true`;
  assert.equal((await get()).body.providers.animasu?.cached, false);
});

Deno.test("cache: a page with an expired URL → read at most once a minute", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url, {
    "/player/720": `<script>jwplayer().setup({file:"https://cdn.test/v/720/master.m3u8?e=1600000000"})</script>`,
  }));
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url });
  await get();
  const reads = site.requests.length;
  const { body } = await get();
  assert.deepEqual([site.requests.length, body.providers.animasu?.cached], [reads, true]);
  assert.deepEqual(servers(body, "animasu").map((one) => one.stream !== null), [false, true, false]);
});

Deno.test("failed read → known servers stay, with the reason", async () => {
  await using fixture = await createFunctionFixture();
  let down = false;
  await using site = serveSite((request, url) =>
    down ? new Response("", { status: 503 }) : animeSite(() => site.url)(request, url)
  );
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url });
  const before = servers((await get()).body, "animasu");
  down = true;
  await fixture.database.admin`update keepstream.source_lists set fetched_at = now() - interval '2 minutes' where true`;
  for (const path of ["/streaming/1/1?refresh=1", "/streaming/1/1", "/streaming/1/1?refresh=1"]) {
    const { body } = await get(path);
    assert.deepEqual(servers(body, "animasu").map((one) => one.url_resolved), before.map((one) => one.url_resolved));
    const { state, code, cached } = body.providers.animasu!;
    assert.deepEqual([state, code, cached], ["failed", "http_5xx", true]);
  }
});

Deno.test("lone surrogate or NUL in a label → all lists kept and enqueued", async () => {
  await using fixture = await createFunctionFixture();
  const label = `${"x".repeat(79)}😀 720p`;
  await using site = serveSite(animeSite(() => site.url, {
    "/episode-1/": () =>
      htmlResponse(mirrorPage([{ label, value: base64(`<iframe src="${site.url}/player/720"></iframe>`) }])),
    "/player/720": String
      .raw`<script>p.setup({file:"https://cdn.test/720.mp4", tracks: [{file:"/a.vtt", label:"a\u0000\ud800"}]})</script>`,
  }));
  await addProviders(fixture, { name: "animasu", base_url: site.url }, { name: "own", recipe: "catalogue" });
  await mapTitle(fixture, "animasu");
  await fixture.database.sql`insert into public.catalogue (mal_id, episode, sources, rights)
    values (1, 1, '[{"url":"https://own.test/1.mp4","resolution":"720p"}]', 'own')`;
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url });
  await get();
  assert.deepEqual((await queueRows(fixture)).map((one) => one.provider).sort(), ["animasu", "own"]);
  const { body } = await get();
  assert.deepEqual([body.providers.animasu?.cached, body.providers.own?.cached], [true, true]);
  const [server] = servers(body, "animasu");
  assert.deepEqual([server?.provider, server?.subtitles[0]?.label], ["x".repeat(79), "a\ufffd"]);
});

Deno.test("discovery: an unmapped title → found once, then cached", async () => {
  await using fixture = await createFunctionFixture();
  const api = titleApi({ title: "Some Title" });
  const search = searchSite(["Some Title"]);
  await using titles = serveSite(api.site);
  await using site = serveSite((request, url) => {
    if (url.searchParams.has("s")) return search.site(request, url);
    if (url.pathname === "/anime/Some%20Title/") {
      return htmlResponse(
        episodeListPage([{ label: "Episode 1", href: "/episode-1/" }, { label: "Episode 2", href: "/episode-1/" }]),
      );
    }
    return animeSite(() => site.url)(request, url);
  });
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: `${site.url},${titles.url}`, TITLE_API_URL: titles.url });
  assert.equal(servers((await get()).body, "animasu").length, 3);
  assert.equal(servers((await get("/streaming/1/2")).body, "animasu").length, 3);
  assert.deepEqual([api.calls(), search.queries.length], [1, 1]);
  const [row] = await fixture.database.sql`select mapping, by_operator from public.title_mappings`;
  assert.deepEqual([row?.mapping.title, row?.by_operator], ["Some Title", false]);
});

Deno.test("discovery: names and mapping cannot be saved → servers served", async () => {
  await using fixture = await createFunctionFixture();
  await using titles = serveSite(titleApi({ title: "Some Title" }).site);
  const search = searchSite(["Some Title"]);
  await using site = serveSite((request, url) => {
    if (url.searchParams.has("s")) return search.site(request, url);
    if (url.pathname === "/anime/Some%20Title/") {
      return htmlResponse(episodeListPage([{ label: "Episode 1", href: "/episode-1/" }]));
    }
    return animeSite(() => site.url)(request, url);
  });
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: `${site.url},${titles.url}`, TITLE_API_URL: titles.url });
  const other = fixture.database.connect("postgres", { max: 1 });
  await other`begin`;
  await other`lock table public.metadata_cache in access exclusive mode`;
  await other`lock table public.title_mappings in exclusive mode`;
  assert.equal(servers((await get()).body, "animasu").length, 3);
  await other`rollback`;
});

Deno.test("database down → cached episodes served, others 503", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const { app, get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url });
  await get();
  await get();
  fixture.setDatabaseUp(false);
  assert.equal(servers((await get()).body, "animasu").length, 3);
  const response = await app.request("/streaming/2/1");
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.deepEqual([response.headers.get("retry-after"), (await response.json()).success], ["5", false]);
});
