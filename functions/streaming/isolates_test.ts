// Several isolates at once, each a separate program, and providers that are down: requests to sites and responses to viewers.
import assert from "node:assert/strict";
import { startFunction } from "../../dev/testing/function_process.ts";
import { createFunctionFixture, type FunctionFixture } from "../../dev/testing/function_fixture.ts";
import { base64, episodeListPage, mirrorPage } from "../../dev/emulators/sites/select_base64_site.ts";
import { type ServedSite, serveSite } from "../../dev/emulators/sites/serve.ts";
import { endless, hangs, htmlResponse, pages, type Site } from "../../dev/emulators/sites/sites.ts";
import { episodeResponseSchema } from "./episode_schema.ts";
import type { EpisodeResponse } from "./episode_schema.ts";

const PLAYERS = 3;

/** A title of any number of episodes; every page waits for `gate` first. */
function goodSite(self: () => string, gate: () => Promise<unknown> = () => Promise.resolve()): Site {
  const options = Array.from({ length: PLAYERS }, (_, index) => ({
    label: `${index + 1}00p`,
    get value() {
      return base64(`<iframe src="${self()}/player/${index}"></iframe>`);
    },
  }));
  return async (request, url) => {
    if (url.pathname === "/robots.txt") return new Response("");
    await gate();
    const episodes = Array.from(
      { length: 40 },
      (_, index) => ({ label: `Episode ${index + 1}`, href: `/e/${index + 1}/` }),
    );
    if (url.pathname === "/anime/title/") return htmlResponse(episodeListPage(episodes));
    if (url.pathname.startsWith("/e/")) return htmlResponse(mirrorPage(options));
    if (url.pathname.startsWith("/player/")) {
      return htmlResponse(`<script>p.setup({file:"https://cdn.test/v.mp4"})</script>`);
    }
    return await pages({})(request, url);
  };
}

interface ProviderRow {
  readonly name: string;
  readonly site: ServedSite;
  readonly config?: Record<string, unknown>;
}

async function addProviders(fixture: FunctionFixture, rows: readonly ProviderRow[]) {
  const entries = rows.map(({ name, site, config = {} }) => ({
    ...{ name, recipe: "select-base64", rights: "test pages", base_url: site.url, config },
  }));
  await fixture.database.sql`select public.apply_providers(${JSON.stringify(entries)}::text::jsonb, false)`;
  for (const { name } of rows) {
    await fixture.database.sql`select public.save_title_mapping(1, ${name}, '{"page": "/anime/title/"}', null, true)`;
  }
}

async function startIsolates(fixture: FunctionFixture, count: number, sites: readonly ServedSite[]) {
  const env = { ...fixture.env, DEV_ALLOWED_ORIGINS: sites.map(({ url }) => url).join(",") };
  const entry = "functions/streaming/index.ts";
  const isolates = await Promise.all(Array.from({ length: count }, () => startFunction({ entry, env })));
  return {
    isolates,
    async get(index: number, path = "/streaming/1/1"): Promise<EpisodeResponse> {
      const response = await fetch(isolates[index]!.url + path);
      assert.equal(response.status, 200);
      return episodeResponseSchema.parse(await response.json()) as EpisodeResponse;
    },
    async [Symbol.asyncDispose]() {
      for (const isolate of isolates) await isolate[Symbol.asyncDispose]();
    },
  };
}

async function eventually(check: () => Promise<boolean> | boolean) {
  for (let turn = 0; turn < 600; turn++) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail("it never happened");
}

const countOf = (site: ServedSite, path: string) => site.requests.filter((one) => one === `GET ${path}`).length;
const PAGES = ["/anime/title/", "/e/1/", "/player/0", "/player/1", "/player/2"];

Deno.test("isolates: forty viewers → each page fetched once, all get the servers", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(goodSite(() => site.url, () => new Promise((resolve) => setTimeout(resolve, 100))));
  await addProviders(fixture, [{ name: "animasu", site }]);
  await using set = await startIsolates(fixture, 2, [site]);
  const responses = await Promise.all(Array.from({ length: 40 }, (_, turn) => set.get(turn % 2)));
  for (const response of responses) {
    assert.equal(response.data.animasu?.length, PLAYERS);
    assert.deepEqual([response.providers.animasu?.state, response.data.animasu?.[0]?.archive?.state], [
      "ok",
      "pending",
    ]);
  }
  assert.deepEqual(PAGES.map((path) => countOf(site, path)), [1, 1, 1, 1, 1], site.requests.join("\n"));
  assert.equal(fixture.calls.filter((one) => one.endsWith("/save_sources")).length, 1);
  assert.equal((await fixture.database.sql`select from public.video_queue`).length, PLAYERS);
});

Deno.test("isolates: stale list → served immediately, revalidated once", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(goodSite(() => site.url));
  await addProviders(fixture, [{ name: "animasu", site }]);
  await using set = await startIsolates(fixture, 2, [site]);
  await set.get(0);
  await fixture.database
    .admin`update keepstream.source_lists set fetched_at = now() - interval '25 minutes' where true`;
  const responses = await Promise.all(Array.from({ length: 10 }, (_, turn) => set.get(turn % 2)));
  assert.ok(responses.every(({ providers }) => providers.animasu?.cached));
  await eventually(async () =>
    (await fixture.database.admin`
    select from keepstream.source_lists where fetched_at > now() - interval '1 minute'`).length === 1
  );
  assert.equal(countOf(site, "/e/1/"), 2);
});

Deno.test("isolates: one is killed while it reads → another reads", async () => {
  await using fixture = await createFunctionFixture();
  const first = Promise.withResolvers<void>();
  const names = ["one", "two", "three", "four"];
  const sites: ServedSite[] = names.map((_, index) =>
    serveSite(goodSite(() => sites[index]!.url, () => first.promise))
  );
  await addProviders(fixture, names.map((name, index) => ({ name, site: sites[index]! })));
  {
    await using set = await startIsolates(fixture, 2, sites);
    const lost = set.get(0).catch(() => null);
    await eventually(() => sites.every((site) => countOf(site, "/anime/title/") === 1));
    const waiting = set.get(1);
    await eventually(() => fixture.calls.filter((one) => one.endsWith("/read_episode")).length === 2);
    await set.isolates[0]!.kill();
    assert.equal(await lost, null);
    first.resolve();
    const { data } = await waiting;
    assert.deepEqual(names.map((name) => data[name]?.length), names.map(() => PLAYERS));
    assert.deepEqual(sites.map((site) => countOf(site, "/anime/title/")), [2, 2, 2, 2]);
    assert.equal(fixture.calls.filter((one) => one.endsWith("/read_episode")).length, 3, "one read, no polling");
  }
  for (const site of sites) await site[Symbol.asyncDispose]();
});

Deno.test("isolates: a read that goes on → its claim is kept, no second one", async () => {
  await using fixture = await createFunctionFixture();
  let gate: Promise<unknown> = Promise.resolve();
  await using site = serveSite(goodSite(() => site.url, () => gate));
  await addProviders(fixture, [{ name: "animasu", site }]);
  await using set = await startIsolates(fixture, 2, [site]);
  await set.get(0);
  await fixture.database
    .admin`update keepstream.source_lists set fetched_at = now() - interval '25 minutes' where true`;
  const release = Promise.withResolvers<void>();
  gate = release.promise;
  await set.get(0); // revalidates in the background
  await eventually(() => countOf(site, "/anime/title/") === 2);
  const claimedUntil = async () =>
    (await fixture.database.admin`select until from keepstream.source_reads`)[0]!["until"] as Date;
  const given = await claimedUntil();
  await eventually(async () => await claimedUntil() > given);
  assert.equal((await set.get(1)).providers.animasu?.cached, true);
  assert.equal(countOf(site, "/anime/title/"), 2);
  release.resolve();
  await eventually(async () => (await fixture.database.admin`select from keepstream.source_reads`).length === 0);
});

Deno.test("isolates: a save fails → servers for every viewer, saved later", async () => {
  await using fixture = await createFunctionFixture();
  await using site = serveSite(goodSite(() => site.url));
  await addProviders(fixture, [{ name: "animasu", site }]);
  await using set = await startIsolates(fixture, 2, [site]);
  await fixture.database.sql.unsafe(`
    create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no space left' using errcode = '53100'; end $$;
    create trigger refuse before insert or update on keepstream.source_lists execute function public.refuse();`);
  for (const isolate of [0, 0, 1]) assert.equal((await set.get(isolate)).data.animasu?.length, PLAYERS);
  assert.equal(countOf(site, "/anime/title/"), 2, "each isolate keeps its list while it tries again");
  await fixture.database.sql`drop trigger refuse on keepstream.source_lists`;
  await eventually(async () => (await fixture.database.admin`select from keepstream.source_lists`).length === 1);
  assert.deepEqual((await set.get(1)).data.animasu?.map((server) => server.archive?.state), [
    "pending",
    "pending",
    "pending",
  ]);
});

Deno.test("isolates: an older read fails later → the newer list stays", async () => {
  await using fixture = await createFunctionFixture();
  let requests = 0;
  const failing = Promise.withResolvers<void>();
  const good = goodSite(() => site.url);
  await using site = serveSite(async (request, url) => {
    if (url.pathname !== "/anime/title/" || requests++ > 0) return good(request, url);
    await failing.promise;
    return new Response("", { status: 503 });
  });
  await addProviders(fixture, [{ name: "animasu", site, config: { budget_ms: 4_000 } }]);
  await using set = await startIsolates(fixture, 2, [site]);
  const early = set.get(0);
  await eventually(() => requests === 1);
  const [late] = await Promise.all([set.get(1), early]);
  assert.equal(late.data.animasu?.length, PLAYERS);
  failing.resolve();
  await eventually(() => fixture.calls.filter((one) => one.endsWith("/save_sources")).length === 2);
  const { providers, data } = await set.get(1);
  assert.deepEqual([pick({ providers }).state, data.animasu?.length], ["ok", PLAYERS]);
  assert.equal((await fixture.database.admin`select from keepstream.provider_health`).length, 0);
});

Deno.test("failed read → served with age and Retry-After, fetched when due", async () => {
  await using fixture = await createFunctionFixture();
  let up = false;
  const good = goodSite(() => site.url);
  await using site = serveSite((request, url) =>
    up || url.pathname === "/robots.txt" ? good(request, url) : new Response("", { status: 404 })
  );
  await addProviders(fixture, [{ name: "animasu", site }]);
  await using set = await startIsolates(fixture, 2, [site]);
  assert.deepEqual(pick(await set.get(0)), { state: "failed", code: "http_4xx", cached: false });
  const requests = site.requests.length;
  for (const isolate of [0, 1, 0, 1]) {
    const { age_seconds, retry_after_seconds, ...known } = (await set.get(isolate)).providers.animasu!;
    assert.deepEqual(known, { state: "failed", code: "http_4xx", took_ms: 0, cached: true, master: null });
    assert.ok(age_seconds! < 15 && retry_after_seconds! >= 1 && retry_after_seconds! <= 30);
  }
  assert.equal(site.requests.length, requests, "not due yet");

  up = true;
  await fixture.database.admin`update keepstream.source_lists set fetched_at = now() - interval '1 minute' where true`;
  const due = await set.get(0);
  assert.deepEqual(
    pick(due),
    { state: "failed", code: "http_4xx", cached: true },
    "no response waits for the background read",
  );
  assert.equal(due.providers.animasu?.retry_after_seconds, 5);
  await eventually(async () => (await set.get(1)).providers.animasu?.state === "ok");
  assert.equal(countOf(site, "/e/1/"), 1);
});

Deno.test("circuit breaker: three failed episodes → open for every other one", async () => {
  await using fixture = await createFunctionFixture();
  let dead = true;
  const looked = Promise.withResolvers<void>();
  const good = goodSite(() => site.url, () => looked.promise);
  await using site = serveSite((request, url) => dead ? hangs(request) : good(request, url));
  await using healthy = serveSite(goodSite(() => healthy.url));
  await addProviders(fixture, [{ name: "dead", site, config: { budget_ms: 200 } }, { name: "healthy", site: healthy }]);
  await using set = await startIsolates(fixture, 2, [site, healthy]);
  for (const episode of [1, 2, 3]) {
    const { providers } = await set.get(0, `/streaming/1/${episode}`);
    assert.deepEqual([providers.dead?.state, providers.dead?.code], ["timeout", "provider_timeout"]);
  }
  await eventually(async () =>
    (await fixture.database.admin`select from keepstream.provider_health where failures >= 3`).length === 1
  );
  const requests = site.requests.length;
  for (let episode = 4; episode < 12; episode++) {
    const { providers, data } = await set.get(episode % 2, `/streaming/1/${episode}`);
    assert.deepEqual([providers.dead?.state, providers.dead?.code, providers.dead?.took_ms, providers.dead?.cached], [
      "timeout",
      "timeout",
      0,
      true,
    ]);
    assert.ok(providers.dead!.retry_after_seconds! >= 1);
    assert.equal(data.healthy?.length, PLAYERS);
  }
  assert.equal(site.requests.length, requests, "the site is not called");

  dead = false;
  await fixture.database.admin`update keepstream.provider_health set due_at = now() where true`;
  await Promise.all([20, 21, 22, 23].map((episode) => set.get(episode % 2, `/streaming/1/${episode}`)));
  await eventually(() => countOf(site, "/anime/title/") > 0);
  assert.equal(countOf(site, "/anime/title/"), 1, "one trial request for four episodes");
  looked.resolve();
  await eventually(async () => (await fixture.database.admin`select from keepstream.provider_health`).length === 0);
  assert.equal((await set.get(0, "/streaming/1/30")).data.dead?.length, PLAYERS);
});

Deno.test("ten misbehaving providers → response with the good one's servers", async () => {
  await using fixture = await createFunctionFixture();
  const drip: Site = () =>
    new Response(
      new ReadableStream({
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 50));
          controller.enqueue(new TextEncoder().encode("<p>"));
        },
      }),
      { headers: { "content-type": "text/html" } },
    );
  const bad: Readonly<Record<string, Site>> = {
    hangs1: hangs,
    hangs2: hangs,
    hangs3: hangs,
    hangs4: hangs,
    drips: drip,
    loops: (_request, url) => Response.redirect(`${url.origin}/again/${Math.random()}`),
    endless: endless(),
    refuses: () => new Response("", { status: 403 }),
    breaks: () => {
      throw new Error("down");
    },
    list_only: (_request, url) =>
      url.pathname === "/anime/title/"
        ? htmlResponse(episodeListPage([{ label: "Episode 1", href: "/e/1/" }]))
        : hangs(_request),
  };
  const served = Object.entries(bad).map(([name, site]) => ({ name, site: serveSite(site) }));
  await using good = serveSite(goodSite(() => good.url));
  const config = { budget_ms: 1500, robots: "ignore" };
  await addProviders(fixture, [...served.map((one) => ({ ...one, config })), { name: "good", site: good }]);
  const sites = [good, ...served.map(({ site }) => site)];
  {
    await using set = await startIsolates(fixture, 1, sites);
    const { data, providers } = await set.get(0); // comes although six sites never respond
    assert.equal(data.good?.length, PLAYERS);
    const codes = Object.fromEntries(Object.entries(providers).map(([name, { code }]) => [name, code ?? "ok"]));
    assert.deepEqual(codes, {
      hangs1: "provider_timeout",
      hangs2: "provider_timeout",
      hangs3: "provider_timeout",
      hangs4: "provider_timeout",
      drips: "provider_timeout",
      loops: "http_5xx",
      endless: "too_large",
      refuses: "http_4xx",
      breaks: "http_5xx",
      list_only: "provider_timeout",
      good: "ok",
    });
    await eventually(async () =>
      (await fixture.database.admin`select from keepstream.source_lists where code = 'timeout'`).length === 6
    ); // the late reads finish and are saved
  }
  for (const { site } of served) await site[Symbol.asyncDispose]();
});

function pick({ providers }: Pick<EpisodeResponse, "providers">) {
  const { state, code, cached } = providers.animasu!;
  return { state, code, cached };
}
