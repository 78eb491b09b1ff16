// The streaming function as deployed, against a real Postgres and the REST gateway; only the providers' sites are synthetic.
import assert from "node:assert/strict";
import { archiveVideo, createFunctionFixture, SIGNING_KEYS } from "../../dev/testing/function_fixture.ts";
import { base64, mirrorPage } from "../../dev/emulators/sites/select_base64_site.ts";
import { serveSite } from "../../dev/emulators/sites/serve.ts";
import { htmlResponse, type Site } from "../../dev/emulators/sites/sites.ts";
import { parseSigningKeys, verifyLink } from "../../core/link.ts";
import { unwrap } from "../../core/result.ts";
import {
  addProviders,
  animeSite,
  eventually,
  mapTitle,
  queueRows,
  servers,
  startApp,
} from "../../dev/testing/streaming_fixture.ts";

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
  const requests = site.requests.length;
  fixture.calls.length = 0;
  const warm = await get("/api/v1/streaming/1/1");
  assert.deepEqual(fixture.calls, ["/rest/v1/rpc/read_episode"]);
  assert.equal(site.requests.length, requests);
  assert.equal(warm.body.providers.animasu?.cached, true);
  const known = servers(warm.body, "animasu").map((server) => [server.provider, server.url_resolved]);
  assert.deepEqual(known, servers(cold.body, "animasu").map((server) => [server.provider, server.url_resolved]));
});

Deno.test("functions.invoke: POST → same as GET; preflight → allowed", async () => {
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
  const userAgentsOf = (name: string) => seen.get(name) ?? new Set();
  const noting = (name: string, site: Site): Site => (request, url) => {
    seen.set(name, userAgentsOf(name).add(request.headers.get("user-agent")));
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
  assert.deepEqual([[...userAgentsOf("one")], [...userAgentsOf("two")]], [["operator/2 (+https://operator.test)"], [
    "own/1",
  ]]);
});

Deno.test("provider without archiving rights → streamed, not enqueued", async () => {
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
  const archive = await archiveVideo(fixture, "720p");

  const { body } = await get();
  const [hd, sd] = servers(body, "animasu");
  assert.deepEqual([hd?.archived, hd?.url_resolved, hd?.url, hd?.archive?.state], [
    true,
    archive,
    `${site.url}/player/720`,
    "ready",
  ]);
  assert.equal(new URL(hd!.stream!).searchParams.get("url"), archive);
  assert.equal(sd?.archived, false);

  await fixture.database.sql`update public.video_queue set status = 'pending' where status = 'ready'`;
  const [again] = servers((await get()).body, "animasu");
  assert.deepEqual([again?.archived, again?.url_resolved], [true, archive], "served while it is archived again");

  await fixture.database.sql`delete from public.providers`;
  const after = servers((await get()).body, "animasu");
  assert.deepEqual(after.map((one) => [one.archived, one.provider, one.url_resolved]), [[
    true,
    "Archive 720p",
    archive,
  ]]);
});

Deno.test("archive with playlists → link to them, also after its provider is gone", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(animeSite(() => site.url));
  await addProviders(fixture, { name: "animasu", base_url: site.url });
  await mapTitle(fixture, "animasu");
  const { app, get } = startApp(fixture, { DEV_ALLOWED_ORIGINS: site.url, HF_ENDPOINT: "https://hub.test" });
  await get();
  await archiveVideo(fixture, "720p");
  assert.equal((await get()).body.providers.animasu?.master, null);
  const track = {
    kind: "video",
    playlist: "v",
    codec: "avc1.64001f",
    language: null,
    label: "Video",
    default: true,
    forced: false,
    height: 720,
  };
  const media = {
    ...{ tracks: [], variant: null, converted: [], left_out: [] },
    presentation: { form: "hybrid", plain_because: null, duration: 1.5, segments: 1, tracks: [track] },
    sidecars: [".m3u8", ".poster.jpg"],
  };
  await fixture.database.admin`update public.video_store set media = ${JSON.stringify(media)}::text::jsonb where true`;
  fixture.calls.length = 0;
  const { body, headers } = await get();
  assert.deepEqual(fixture.calls, ["/rest/v1/rpc/read_episode"]);
  const [hd] = servers(body, "animasu");
  assert.match(hd?.hls ?? "", /0123456789abcdef\.m3u8$/);
  assert.match(hd?.poster ?? "", /\.poster\.jpg$/);
  assert.deepEqual([hd?.thumbnails, hd?.duration, hd?.size_bytes, hd?.codecs], [null, 1.5, 5, "avc1.64001f"]);
  assert.match(body.providers.animasu?.master ?? "", /0123456789abcdef\.m3u8$/);
  const conditional = { headers: { "if-none-match": headers.get("etag")! } };
  assert.equal((await app.request("/streaming/1/1", conditional)).status, 304);

  await fixture.database.sql`delete from public.providers`;
  const after = (await get()).body.providers.animasu;
  assert.deepEqual([after?.state, after?.code, after?.master], ["unknown", "not_read", body.providers.animasu?.master]);
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
  const archive = await archiveVideo(fixture, "720p");
  await fixture.database.admin`select public.report_replica_missing(id) from public.video_replicas`;
  assert.deepEqual([(await first())?.archived, (await first())?.url_resolved], [false, live]);
  await fixture.database.sql`delete from public.providers`;
  assert.deepEqual([(await first())?.archived, (await first())?.url_resolved], [true, archive]);
});
