// Takedowns as the public sees them: 451, servers without a stream, the signed list.
import assert from "node:assert/strict";
import {
  archiveVideo,
  createFunctionFixture,
  type FunctionFixture,
  SIGNING_KEYS,
} from "../../dev/testing/function_fixture.ts";
import { verifyDenyList } from "../../core/deny_list.ts";
import { parseSigningKeys } from "../../core/link.ts";
import { unwrap } from "../../core/result.ts";
import { episodeResponseSchema } from "./episode_schema.ts";
import { buildStreamingApp } from "./build.ts";

const KEYS = unwrap(parseSigningKeys(SIGNING_KEYS));

async function addEpisode(
  fixture: FunctionFixture,
  malId: number,
  url = `https://own.test/${malId}.mp4`,
): Promise<void> {
  await fixture.database
    .sql`insert into public.providers (name, recipe) values ('own', 'catalogue') on conflict do nothing`;
  const sources = [{ url, resolution: "720p" }];
  await fixture.database.sql`insert into public.catalogue (mal_id, episode, sources, rights)
    values (${malId}, 1, ${JSON.stringify(sources)}::text::jsonb, 'own work')`;
}

for (const [name, episode] of [["title", null], ["episode", 1]] as const) {
  Deno.test(`takedown of a whole ${name} → 451, nothing read or enqueued; lifted → 200`, async () => {
    await using fixture = await createFunctionFixture();
    await addEpisode(fixture, 1);
    const app = buildStreamingApp(fixture.env);
    await fixture.database.serviceRole`select public.takedown(1, ${episode}::int)`;
    for (const method of ["GET", "HEAD", "POST"]) {
      const response = await app.request("/streaming/1/1", { method });
      assert.equal(response.status, 451);
      assert.equal(response.headers.get("cache-control"), "no-store");
      const text = await response.text();
      if (method !== "HEAD") assert.deepEqual([JSON.parse(text).code, JSON.parse(text).success], ["taken_down", false]);
    }
    assert.deepEqual([...new Set(fixture.calls)], ["/rest/v1/rpc/read_episode"]);
    assert.equal((await fixture.database.admin`select from keepstream.source_reads`).length, 0);
    assert.equal((await app.request("/streaming/1/2")).status, episode === null ? 451 : 200);
    assert.equal((await app.request("/streaming/2/1")).status, 200);
    await fixture.database.serviceRole`select public.lift_takedown(1, ${episode}::int)`;
    assert.equal((await app.request("/streaming/1/1")).status, 200);
  });
}

Deno.test("takedown: another episode leads to the archive → no stream there", async () => {
  await using fixture = await createFunctionFixture({ HF_ENDPOINT: "https://hub.test" });
  await addEpisode(fixture, 1);
  const app = buildStreamingApp(fixture.env);
  await app.request("/streaming/1/1");
  const archive = await archiveVideo(fixture, "720p");
  await addEpisode(fixture, 2, archive);
  const ask = async (of = app) =>
    episodeResponseSchema.parse(await (await of.request("/streaming/2/1")).json()).data.own![0]!;
  const before = await ask();
  assert.deepEqual([before.url_resolved, before.code], [archive, undefined]);
  await fixture.database.serviceRole`select public.takedown(1)`;
  const { stream, url_resolved, expires_at, code } = await ask(buildStreamingApp(fixture.env));
  assert.deepEqual({ stream, url_resolved, expires_at, code }, {
    ...{ stream: null, url_resolved: null, expires_at: null },
    code: "taken_down",
  });
  const spellings = [
    archive.replace("/1/ep1/", "/%31/ep%31/"),
    archive.replace("/1/ep1/", "/1%2Fep1//"),
    archive.replace("/1/ep1/0", "/1/ep1/%30"),
    archive.replace("hub.test", "hub.test."),
    `${archive}?download=true`,
  ];
  for (const [index, spelling] of spellings.entries()) {
    await addEpisode(fixture, 10 + index, spelling);
    const response = await buildStreamingApp(fixture.env).request(`/streaming/${10 + index}/1`);
    const server = episodeResponseSchema.parse(await response.json()).data.own![0]!;
    assert.deepEqual([server.stream, server.code], [null, "taken_down"], spelling);
  }
});

Deno.test("GET /streaming/takedowns → the signed list, one call for many", async () => {
  await using fixture = await createFunctionFixture();
  const app = buildStreamingApp(fixture.env);
  await fixture.database
    .serviceRole`select public.takedown(7), public.takedown(5, 2), public.takedown(5, 1), public.takedown(7, 3)`;
  const responses = await Promise.all(
    [1, 2, 3].map((turn) => app.request(`${turn > 1 ? "/api/v1" : ""}/streaming/takedowns`)),
  );
  for (const response of responses) {
    assert.equal(response.status, 200);
    const seconds = Number(/^public, max-age=(\d+)$/.exec(response.headers.get("cache-control")!)![1]);
    assert.ok(seconds <= 60);
    const { titles, episodes, issuedAt } = unwrap(await verifyDenyList(await response.text(), KEYS));
    assert.deepEqual([titles, episodes], [[7], [[5, 1], [5, 2]]], "a title covers its episodes");
    assert.ok(Math.abs(issuedAt - Date.now() / 1000) < 60);
  }
  assert.deepEqual(fixture.calls, ["/rest/v1/rpc/list_takedowns"]);
});

Deno.test("GET /streaming/takedowns without a database → 503, later the list", async () => {
  await using fixture = await createFunctionFixture();
  const app = buildStreamingApp(fixture.env);
  fixture.setDatabaseUp(false);
  const response = await app.request("/streaming/takedowns");
  assert.deepEqual([response.status, (await response.json()).code], [503, "database_unavailable"]);
  fixture.setDatabaseUp(true);
  assert.equal((await app.request("/streaming/takedowns")).status, 200);
});

Deno.test("list_takedowns: for the service role alone", async () => {
  await using fixture = await createFunctionFixture();
  for (const role of ["anon", "authenticated"] as const) {
    await assert.rejects(fixture.database.connect(role)`select public.list_takedowns()`, { code: "42501" });
  }
});

Deno.test("takedown, then database down → nothing served from the cache", async () => {
  await using fixture = await createFunctionFixture();
  await addEpisode(fixture, 1);
  await addEpisode(fixture, 2);
  const app = buildStreamingApp(fixture.env);
  for (const path of ["/streaming/1/1", "/streaming/2/1"]) assert.equal((await app.request(path)).status, 200);
  await fixture.database.serviceRole`select public.takedown(1)`;
  assert.equal((await app.request("/streaming/takedowns")).status, 200);
  fixture.setDatabaseUp(false);
  assert.equal((await app.request("/streaming/1/1")).status, 451);
  assert.equal((await app.request("/streaming/2/1")).status, 200);
});
