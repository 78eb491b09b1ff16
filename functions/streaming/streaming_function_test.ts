// The streaming function as deployed, against a real Postgres and the REST gateway; only the providers' sites are synthetic.
import assert from "node:assert/strict";
import {
  archiveVideo,
  createFunctionFixture,
  type FunctionFixture,
  SIGNING_KEYS,
} from "../../dev/testing/function_fixture.ts";
import { base64, episodeListPage, mirrorPage } from "../../dev/emulators/sites/select_base64_site.ts";
import { serveSite } from "../../dev/emulators/sites/serve.ts";
import { htmlResponse, pages, type Site } from "../../dev/emulators/sites/sites.ts";
import { searchSite, titleApi } from "../../dev/emulators/sites/title_api.ts";
import { parseSigningKeys, verifyLink } from "../../core/link.ts";
import { refreshQuery } from "../../core/refresh_request.ts";
import { unwrap } from "../../core/result.ts";
import { episodeResponseSchema } from "./episode_schema.ts";
import { buildStreamingApp } from "./build.ts";
import type { EpisodeResponse, PublicServer } from "./episode_schema.ts";

/** A site with a title of one episode; its two players name an HLS and an MP4 address. */
function animeSite(self: () => string, more: Readonly<Record<string, string | Site>> = {}): Site {
  const option = (label: string, path: string) => ({
    label,
    value: base64(`<iframe src="${self()}${path}"></iframe>`),
  });
  return pages({
    "/anime/title/": () => htmlResponse(episodeListPage([{ label: "Episode 1", href: "/episode-1/" }])),
    "/episode-1/": () =>
      htmlResponse(
        mirrorPage([option("720p", "/player/720"), option("480p", "/player/480"), option("Gone", "/player/gone")]),
      ),
    "/player/720": `<script>jwplayer().setup({file:"https://cdn.test/v/720/master.m3u8?e=99999999999"})</script>`,
    "/player/480": `<script>jwplayer().setup({file:"https://cdn.test/v/480.mp4"})</script>`,
    ...more,
  });
}

interface ProviderRow {
  readonly name: string;
  readonly base_url?: string | null;
  readonly recipe?: string;
  readonly rights?: string | null;
  readonly config?: Record<string, unknown>;
}

async function addProviders(fixture: FunctionFixture, ...rows: readonly ProviderRow[]) {
  const entries = rows.map(({ name, ...row }) => ({
    name,
    recipe: "select-base64",
    rights: "test pages",
    base_url: null,
    ...row,
  }));
  await fixture.database.sql`select public.apply_providers(${JSON.stringify(entries)}::text::jsonb, false)`;
}

async function mapTitle(fixture: FunctionFixture, provider: string, page = "/anime/title/") {
  await fixture.database.sql`select public.save_title_mapping(1, ${provider}, ${
    JSON.stringify({ page })
  }::text::jsonb, null, true)`;
}

/** The app, and all it left to do in the background when a test ends. */
function startApp(fixture: FunctionFixture, more: Readonly<Record<string, string>>) {
  const app = buildStreamingApp({ ...fixture.env, ...more });
  const get = async (path = "/streaming/1/1", init?: RequestInit) => {
    const response = await app.request(path, init);
    const body: unknown = await response.json();
    episodeResponseSchema.parse(body); // strict: every answer of these tests is held against the OpenAPI document's schema
    return { status: response.status, headers: response.headers, body: body as EpisodeResponse };
  };
  return { app, get };
}

const servers = (answer: EpisodeResponse, provider: string): readonly PublicServer[] => answer.data[provider] ?? [];
const queueRows = (fixture: FunctionFixture) =>
  fixture.database
    .sql`select provider, resolution, status, video_url, embed_url from public.video_queue order by resolution`;

async function eventually(check: () => Promise<boolean> | boolean) {
  for (let turn = 0; turn < 600; turn++) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail("it never happened");
}

Deno.test("GET cold → servers resolved, signed and enqueued by one call", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url }, { name: "unmapped", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url });

  const { status, headers, body } = await get();
  assert.equal(status, 200);
  assert.equal(headers.get("access-control-allow-origin"), "*");
  assert.deepEqual(fixture.calls, ["/rest/v1/rpc/read_episode", "/rest/v1/rpc/save_sources"]);
  assert.deepEqual(body.data.unmapped, null);
  assert.equal(body.providers.unmapped?.code, "no_mapping");
  assert.equal(body.providers.animasu?.state, "ok");
  const [hd, sd, gone] = servers(body, "animasu");
  assert.deepEqual([hd?.url, hd?.url_resolved, hd?.resolution, hd?.kind, hd?.archived], [
    `${site.url}/player/720`,
    "https://cdn.test/v/720/master.m3u8?e=99999999999",
    "720p",
    "hls",
    false,
  ]);
  assert.deepEqual(hd?.archive, { state: "pending", progress: null });
  assert.equal(sd?.kind, "mp4");
  assert.deepEqual([gone?.stream, gone?.url_resolved, gone?.code], [null, null, "http_4xx"]);

  const link = unwrap(
    await verifyLink(new URL(hd!.stream!), unwrap(parseSigningKeys(SIGNING_KEYS)), Date.now() / 1000),
  );
  assert.equal(link.scope, "https://cdn.test/v/720/");
  assert.deepEqual(link.context, {
    headers: { referer: `${site.url}/` },
    episode: { malId: 1, episode: 1, provider: "animasu", server: `${site.url}/player/720` },
  });
  assert.deepEqual((await queueRows(fixture)).map((row) => [row.resolution, row.status, row.embed_url]), [
    ["480p", "pending", `${site.url}/player/480`],
    ["720p", "pending", `${site.url}/player/720`],
  ]);
});

Deno.test("GET warm → one database call, no site request, the same links", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url });
  const cold = await get();
  const asked = site.requests.length;
  fixture.calls.length = 0;
  const warm = await get("/api/v1/streaming/1/1");
  assert.deepEqual(fixture.calls, ["/rest/v1/rpc/read_episode"]);
  assert.equal(site.requests.length, asked);
  assert.equal(warm.body.providers.animasu?.cached, true);
  const known = servers(warm.body, "animasu").map((server) => [server.provider, server.url_resolved]);
  assert.deepEqual(known, servers(cold.body, "animasu").map((server) => [server.provider, server.url_resolved]));
});

Deno.test("POST by functions.invoke → same as GET; preflight is answered", async () => {
  await using fixture = await createFunctionFixture();
  const { app, get } = startApp(fixture, {});
  assert.equal((await get("/streaming/1/1", { method: "POST" })).status, 200);
  const preflight = await app.request("/streaming/1/1", {
    method: "OPTIONS",
    headers: {
      origin: "https://a.test",
      "access-control-request-method": "GET",
      "access-control-request-headers": "apikey",
    },
  });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers.get("access-control-allow-headers") ?? "", /apikey/);
});

Deno.test("User-Agent: operator's product name; a provider's own comes first", async () => {
  await using fixture = await createFunctionFixture();
  const seen = new Map<string, Set<string | null>>();
  const asked = (name: string) => seen.get(name) ?? new Set();
  const noting = (name: string, site: Site): Site => (request, url) => {
    seen.set(name, asked(name).add(request.headers.get("user-agent")));
    return site(request, url);
  };
  await using one = serveSite(noting("one", (request, url) => animeSite(() => one.url)(request, url)));
  await using two = serveSite(noting("two", (request, url) => animeSite(() => two.url)(request, url)));
  await addProviders(fixture, { name: "one", base_url: one.url }, {
    name: "two",
    base_url: two.url,
    config: { user_agent: "own/1" },
  });
  for (const name of ["one", "two"]) await mapTitle(fixture, name);
  const origins = { DEV_ALLOWED_ORIGINS: `${one.url},${two.url}` };
  await startApp(fixture, { ...origins, SOURCE_USER_AGENT: "operator/2 (+https://operator.test)" }).get();
  assert.deepEqual([[...asked("one")], [...asked("two")]], [["operator/2 (+https://operator.test)"], ["own/1"]]);
});

Deno.test("without a rights ground a provider is streamed and nothing is enqueued", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url, rights: null });
  await mapTitle(fixture, "animasu");
  const { body } = await startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url }).get();
  assert.ok(servers(body, "animasu")[0]?.stream);
  assert.equal(servers(body, "animasu")[0]?.archive, null);
  assert.equal((await queueRows(fixture)).length, 0);
});

Deno.test("provider hangs → timeout, others served, its list saved later", async () => {
  await using fixture = await createFunctionFixture();
  const release = Promise.withResolvers<void>();
  await using quick = serveSite(animeSite(() => quick.url));
  await using slow = serveSite(animeSite(() => slow.url, {
    "/episode-1/": async () => {
      await release.promise;
      return htmlResponse(
        mirrorPage([{ label: "720p", value: base64(`<iframe src="${slow.url}/player/720"></iframe>`) }]),
      );
    },
  }));
  await addProviders(fixture, { name: "quick", base_url: quick.url }, {
    name: "slow",
    base_url: slow.url,
    config: { budget_ms: 300 },
  });
  await mapTitle(fixture, "quick");
  await mapTitle(fixture, "slow");
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: `${quick.url},${slow.url}` });
  const { body } = await get();
  assert.equal(body.providers.quick?.state, "ok");
  assert.equal(servers(body, "quick").length, 3);
  assert.deepEqual([body.providers.slow?.state, body.providers.slow?.code], ["timeout", "provider_timeout"]);
  assert.equal(body.data.slow, null);
  release.resolve();
  await eventually(async () => (await get()).body.providers.slow?.state === "ok");
  assert.ok((await queueRows(fixture)).some((row) => row.provider === "slow"));
});

Deno.test("provider fails, lies or sends 50 MB → only its own failure code", async () => {
  await using fixture = await createFunctionFixture();
  const spam = new Uint8Array(64 * 1024).fill(32);
  const huge: Site = () => {
    let left = 800;
    return new Response(
      new ReadableStream({
        pull: (controller) => left-- > 0 ? controller.enqueue(spam) : controller.close(),
      }),
      { headers: { "content-type": "text/html" } },
    );
  };
  await using broken = serveSite((_request, url) =>
    url.pathname === "/robots.txt" ? new Response("") : new Response("", { status: 500 })
  );
  await using lying = serveSite((_request, url) =>
    url.pathname === "/robots.txt"
      ? new Response("")
      : new Response("\0\x01<<<>", { headers: { "content-type": "video/mp4" } })
  );
  await using large = serveSite((request, url) =>
    url.pathname === "/robots.txt" ? new Response("") : huge(request, url)
  );
  const named = { broken, lying, large };
  await addProviders(fixture, ...Object.entries(named).map(([name, site]) => ({ name, base_url: site.url })));
  for (const name of Object.keys(named)) await mapTitle(fixture, name);
  const origins = Object.values(named).map((site) => site.url).join(",");
  const { status, body } = await startApp(fixture, { DEV_ALLOWED_ORIGINS: origins }).get();
  assert.equal(status, 200);
  assert.deepEqual(body.data, { broken: null, lying: null, large: null });
  assert.deepEqual(Object.values(body.providers).map((one) => one.code), ["http_5xx", "empty", "too_large"]);
});

Deno.test("archived video → archive link, even if its provider is gone", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url, HF_ENDPOINT: "https://hub.test" });
  await get();
  const address = await archiveVideo(fixture, "720p");

  const { body } = await get();
  const [hd, sd] = servers(body, "animasu");
  assert.deepEqual([hd?.archived, hd?.url_resolved, hd?.url, hd?.archive?.state], [
    true,
    address,
    `${site.url}/player/720`,
    "ready",
  ]);
  assert.equal(new URL(hd!.stream!).searchParams.get("url"), address);
  assert.equal(sd?.archived, false);

  await fixture.database.sql`update public.video_queue set status = 'pending' where status = 'ready'`;
  const [again] = servers((await get()).body, "animasu");
  assert.deepEqual([again?.archived, again?.url_resolved], [true, address], "served while it is archived again");

  await fixture.database.sql`delete from public.providers`;
  const after = servers((await get()).body, "animasu");
  assert.deepEqual(after.map((one) => [one.archived, one.provider, one.url_resolved]), [[
    true,
    "Archive 720p",
    address,
  ]]);
});

Deno.test("archive unreadable for the Worker → live server; readable → archive", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const respondWith = async (more: Record<string, string>) => {
    const [hd] = servers((await startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url, ...more }).get()).body, "animasu");
    return [hd?.archived, hd?.url_resolved];
  };
  const [, live] = await respondWith({});
  await archiveVideo(fixture, "720p");
  assert.deepEqual(await respondWith({}), [false, live]); // recorded on hub.test, which is not configured

  const folder = "http://10.0.0.5:7860/archive";
  await fixture.database.admin`update public.video_store set hf_direct_url = ${folder + "/a.mp4"} where true`;
  await fixture.database.admin`update public.video_replicas set direct_url = ${folder + "/a.mp4"} where true`;
  const hub = { HF_ENDPOINT: "https://hub.test" };
  assert.deepEqual(await respondWith(hub), [false, live]);
  assert.deepEqual(await respondWith({ ...hub, STORAGE_FOLDER_URL: folder }), [true, `${folder}/a.mp4`]);
});

Deno.test("all copies missing: listed server → live; none listed → archive", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const { get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url, HF_ENDPOINT: "https://hub.test" });
  const first = async () => servers((await get()).body, "animasu")[0];
  const live = (await first())?.url_resolved;
  const address = await archiveVideo(fixture, "720p");
  await fixture.database.admin`select public.report_replica_missing(id) from public.video_replicas`;
  assert.deepEqual([(await first())?.archived, (await first())?.url_resolved], [false, live]);
  await fixture.database.sql`delete from public.providers`;
  assert.deepEqual([(await first())?.archived, (await first())?.url_resolved], [true, address]);
});

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

Deno.test("a list with an address that has expired is read again", async () => {
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
  assert.deepEqual([api.asked(), search.queries.length], [1, 1]);
  const [row] = await fixture.database.sql`select mapping, by_operator from public.title_mappings`;
  assert.deepEqual([row?.mapping.title, row?.by_operator], ["Some Title", false]);
});

Deno.test("names and mapping cannot be saved → the servers all the same", async () => {
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

Deno.test("rate limit: a client above its quota → 429, others → 200", async () => {
  await using fixture = await createFunctionFixture();
  await fixture.database.admin`update keepstream.settings set client_requests_per_minute = 3 where true`;
  const { app } = startApp(fixture, {});
  const ask = (address: string) =>
    app.request("/streaming/1/1", {
      headers: { "x-forwarded-for": `${crypto.randomUUID()}, ${address}`, "cf-connecting-ip": crypto.randomUUID() },
    });
  const statuses = [];
  for (let turn = 0; turn < 4; turn++) statuses.push((await ask("192.0.2.1")).status);
  assert.deepEqual(statuses, [200, 200, 200, 429]);
  const refused = await ask("192.0.2.1");
  assert.ok(Number(refused.headers.get("retry-after")) >= 1);
  assert.equal((await refused.json()).code, "rate_limited");
  assert.equal((await ask("192.0.2.2")).status, 200);
});

Deno.test("refresh: signed → counts per episode; forged → counts per client", async () => {
  await using fixture = await createFunctionFixture();
  await fixture.database.admin`update keepstream.settings set client_requests_per_minute = 2 where true`;
  const { app } = startApp(fixture, {});
  const keys = unwrap(parseSigningKeys(SIGNING_KEYS));
  const ask = async (malId: number, query: string) =>
    (await app.request(`/streaming/${malId}/1?${query}`, { headers: { "x-forwarded-for": "192.0.2.1" } })).status;
  const signed = (malId: number) => refreshQuery({ malId, episode: 1 }, { keys, now: Date.now() / 1000 });
  assert.deepEqual([await ask(1, ""), await ask(1, ""), await ask(1, "")], [200, 200, 429]);
  const own = await signed(1);
  assert.deepEqual([await ask(1, own), await ask(1, own), await ask(1, own)], [200, 200, 429]);
  assert.equal(await ask(2, await signed(2)), 200);
  for (const forged of [own, (await signed(3)).replace(/at=\d+/, "at=1"), "refresh=1", "refresh=1&sig=k1.x"]) {
    assert.equal(await ask(3, forged), 429);
  }
});

Deno.test("invalid or out-of-range numbers → 400 without a database call", async () => {
  await using fixture = await createFunctionFixture();
  const { app } = startApp(fixture, {});
  for (
    const path of [
      "0/1",
      "-1/1",
      "2147483648/1",
      "99999999999999999999/1",
      "1/0",
      "1/-5",
      "1/1e3",
      "1.5/1",
      "..%2f..%2fx/1",
      "%3Cscript%3E/1",
    ]
  ) {
    const response = await app.request(`/streaming/${path}`);
    assert.equal(response.status, 400, path);
    const body = await response.json();
    assert.deepEqual([body.success, body.code, typeof body.error], [false, "invalid_input", "string"]);
  }
  assert.equal((await app.request("/streaming/1")).status, 404);
  assert.deepEqual(fixture.calls, []);
});

Deno.test("markup in a label stays text; in a resolution → no resolution", async () => {
  await using fixture = await createFunctionFixture();
  const evil = `<img src=x onerror=alert(1)> 720p<script>`;
  await using site = serveSite(animeSite(() => site.url, {
    "/episode-1/": () =>
      htmlResponse(
        mirrorPage([{
          label: evil.replaceAll("<", "&lt;"),
          value: base64(`<iframe src="${site.url}/player/480"></iframe>`),
        }]),
      ),
  }));
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const response = await startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url }).app.request("/streaming/1/1");
  assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
  const [server] = servers(await response.json(), "animasu");
  assert.deepEqual([server?.provider, server?.resolution], [evil, "720p"]);
});

Deno.test("invalid rows written by hand → ignored, response unaffected", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url, config: { budget_ms: "soon", hosts: 7 } }, {
    name: "own",
    recipe: "catalogue",
  }, { name: "strange", recipe: "no-such-recipe" });
  await mapTitle(fixture, "animasu");
  await fixture.database
    .sql`insert into public.catalogue (mal_id, episode, sources) values (1, 1, '[5, {"url": null}]')`;
  await fixture.database.admin`
    insert into keepstream.source_lists (mal_id, episode, provider, state, servers) values (1, 1, 'animasu', 'ok', '[{"label": 5}]')`;
  const { status, body } = await startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url }).get();
  assert.equal(status, 200);
  assert.equal(servers(body, "animasu").length, 3);
  assert.deepEqual([body.providers.own?.code, body.providers.strange?.code], ["no_mapping", "unsupported"]);
});

Deno.test("environment: all problems at once; dev origins refused if deployed", () => {
  assert.throws(
    () => buildStreamingApp({}),
    (error: Error) =>
      ["SUPABASE_URL", "CLOUDFLARE_WORKERS_URL", "STREAM_SIGNING_KEYS"].every((name) => error.message.includes(name)),
  );
  const deployed = {
    SUPABASE_URL: "https://ref.supabase.test",
    SUPABASE_SECRET_KEYS: '{"default":"sb_secret_x"}',
    CLOUDFLARE_WORKERS_URL: "https://worker.test",
    STREAM_SIGNING_KEYS: SIGNING_KEYS,
  };
  assert.ok(buildStreamingApp(deployed));
  assert.throws(
    () => buildStreamingApp({ ...deployed, DEV_ALLOWED_ORIGINS: "http://127.0.0.1:1" }),
    /development only/,
  );
});
