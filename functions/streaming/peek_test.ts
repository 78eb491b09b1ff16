// Safe requests (HEAD, peek=1, prefetch) read no provider, claim nothing and enqueue nothing.
import assert from "node:assert/strict";
import { createFunctionFixture, type FunctionFixture } from "../../dev/testing/function_fixture.ts";
import { episodeResponseSchema } from "./episode_schema.ts";
import { buildStreamingApp } from "./build.ts";

const LOOKS: Readonly<Record<string, RequestInit & { readonly query?: string }>> = {
  HEAD: { method: "HEAD" },
  "?peek=1": { query: "?peek=1" },
  "?peek=1&refresh=1": { query: "?peek=1&refresh=1" },
  "POST ?peek=1": { method: "POST", query: "?peek=1" },
  "Sec-Purpose: prefetch": { headers: { "sec-purpose": "prefetch" } },
  "Sec-Purpose: prefetch;prerender": { headers: { "sec-purpose": "prefetch;prerender" } },
  "Purpose: prefetch": { headers: { purpose: "prefetch" } },
  "X-Purpose: preview": { headers: { "x-purpose": "preview" } },
  "X-Moz: prefetch": { headers: { "x-moz": "prefetch" } },
};

async function addEpisode(fixture: FunctionFixture): Promise<void> {
  await fixture.database.sql`insert into public.providers (name, recipe) values ('own', 'catalogue')`;
  await fixture.database.sql`insert into public.catalogue (mal_id, episode, sources, rights)
    values (1, 1, '[{"url":"https://own.test/1.mp4","resolution":"720p"}]', 'own work')`;
}

async function written(fixture: FunctionFixture): Promise<number> {
  const [row] = await fixture.database.admin<{ count: number }[]>`select (
    (select count(*) from public.video_queue) + (select count(*) from keepstream.source_lists) +
    (select count(*) from keepstream.source_reads))::int as count`;
  return row!.count;
}

for (const [name, { query = "", ...init }] of Object.entries(LOOKS)) {
  Deno.test(`${name}: an unknown episode → 200, nothing read, claimed or enqueued`, async () => {
    await using fixture = await createFunctionFixture();
    await addEpisode(fixture);
    const app = buildStreamingApp(fixture.env);
    const response = await app.request(`/streaming/1/1${query}`, init);
    const text = await response.text();
    assert.equal(response.status, 200);
    assert.deepEqual([fixture.calls, await written(fixture)], [["/rest/v1/rpc/read_episode"], 0]);
    if (init.method === "HEAD") return assert.equal(text, "");
    const { data, providers } = episodeResponseSchema.parse(JSON.parse(text));
    assert.deepEqual([data.own, providers.own?.state, providers.own?.code], [null, "unknown", "not_read"]);
  });
}

Deno.test("peek: a stale list → its servers, not renewed; GET renews it", async () => {
  await using fixture = await createFunctionFixture();
  await addEpisode(fixture);
  const app = buildStreamingApp(fixture.env);
  const servers = [{
    label: "own",
    embed_url: "https://own.test/1.mp4",
    video_url: "https://own.test/1.mp4",
    kind: "mp4",
  }];
  await fixture.database
    .admin`insert into keepstream.source_lists (mal_id, episode, provider, state, servers, fetched_at)
    values (1, 1, 'own', 'ok', ${JSON.stringify(servers)}::text::jsonb, now() - interval '10 hours')`;
  const { data } = episodeResponseSchema.parse(await (await app.request("/streaming/1/1?peek=1")).json());
  assert.ok(data.own?.[0]?.stream);
  assert.equal((await fixture.database.admin`select from public.video_queue`).length, 0);
  assert.equal((await app.request("/streaming/1/1")).status, 200);
  assert.equal((await fixture.database.admin`select from public.video_queue`).length, 1);
});
