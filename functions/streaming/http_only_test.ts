// URLs with another scheme than http(s): never stored, and never shown from older rows.
import assert from "node:assert/strict";
import { parseSigningKeys } from "../../core/link.ts";
import { unwrap } from "../../core/result.ts";
import { createFunctionFixture, SIGNING_KEYS } from "../../dev/testing/function_fixture.ts";
import { sourceListSchema } from "../../sources/source_list.ts";
import { episodeResponseSchema } from "./episode_schema.ts";
import { buildStreamingApp } from "./build.ts";
import type { EpisodeRecord } from "./episode_store.ts";
import { episodeResponse } from "./response.ts";
import { createStreamLinks } from "./stream_link.ts";

const BAD = [
  "javascript:alert(1)",
  "JavaScript:alert(1)",
  " javascript:alert(1)",
  "java\nscript:alert(1)",
  "data:text/html,<script>alert(1)</script>",
  "file:///etc/passwd",
  "vbscript:x",
  "blob:https://a.test/1",
  "ftp://a.test/v.mp4",
  "//a.test/v.mp4",
  "/v.mp4",
  "",
  "https://",
];
const GOOD = "https://own.test/1.mp4";

const server = (more: Record<string, unknown>) => ({
  ...{ label: "One", embed_url: GOOD, video_url: GOOD, kind: "mp4", resolution: "720p", subtitles: [] },
  ...more,
});

Deno.test("output: older rows with other schemes → nothing leads there", async () => {
  await using fixture = await createFunctionFixture();
  const app = buildStreamingApp(fixture.env);
  await fixture.database.sql`insert into public.providers (name, recipe) values ('own', 'page')`;
  await fixture.database.admin`alter table keepstream.source_lists drop constraint source_lists_urls_are_http`;
  const servers = BAD.flatMap((url) => [
    server({ label: "page", embed_url: url }),
    server({ label: "media", video_url: url }),
    server({ label: "subtitle", subtitles: [{ url }, { url: "https://own.test/en.vtt", language: "en" }] }),
  ]);
  await fixture.database.admin`insert into keepstream.source_lists (mal_id, episode, provider, state, servers)
    values (1, 1, 'own', 'ok', ${JSON.stringify(servers)}::text::jsonb)`;
  const { data } = episodeResponseSchema.parse(await (await app.request("/streaming/1/1")).json());
  const of = (label: string) => data.own!.filter((one) => one.provider === label);
  assert.equal(of("page").length, 0);
  assert.deepEqual([...new Set(of("media").map((one) => `${one.url_resolved} ${one.stream} ${one.code}`))], [
    "null null policy_denied",
  ]);
  assert.equal(of("media").length, BAD.length);
  for (const one of of("subtitle")) {
    assert.deepEqual(one.subtitles.map(({ source_url }) => source_url), ["https://own.test/en.vtt"]);
  }
});

Deno.test("output: a reader's list with other schemes → nothing leads there", async () => {
  const servers = BAD.flatMap((url) => [server({ embed_url: url }), server({ video_url: url, subtitles: [{ url }] })]);
  const list = sourceListSchema.parse({ state: "ok", servers });
  const record: EpisodeRecord = {
    ...{ providers: [{ name: "own", recipe: "page", base_url: null, config: {} }], catalogue: null, mappings: {} },
    ...{ source_lists: {}, source_reads: {}, open_circuits: {}, store: [], queue: [], taken_down: false },
  };
  const state = { state: "ok", took_ms: 1, cached: false } as const;
  const response = await episodeResponse(
    { key: { malId: 1, episode: 1 }, record, queue: [], results: new Map([["own", { list, state }]]), detail: null },
    {
      links: createStreamLinks({ proxyBaseUrl: "https://worker.test", keys: unwrap(parseSigningKeys(SIGNING_KEYS)) }),
      ...{ hubEndpoint: "https://hub.test", archiveBases: [], linkTtlSeconds: 60, now: Date.now },
      isTakenDown: () => Promise.resolve(false),
    },
  );
  assert.equal(response.data.own!.length, BAD.length);
  for (const one of response.data.own!) {
    assert.deepEqual([one.url, one.url_resolved, one.stream, one.subtitles], [GOOD, null, null, []]);
  }
});

Deno.test("catalogue, cached lists, candidates: another scheme → refused", async () => {
  await using fixture = await createFunctionFixture();
  const sql = fixture.database.serviceRole;
  const list = (value: unknown) => JSON.stringify([server({ label: "good" }), value]);
  const writes: Readonly<Record<string, (url: string) => PromiseLike<unknown>>> = {
    catalogue: (url) =>
      sql`insert into public.catalogue (mal_id, episode, sources) values (1, 1, ${list({ url })}::text::jsonb)`,
    "catalogue subtitles": (url) =>
      sql`insert into public.catalogue (mal_id, episode, sources)
        values (1, 1, ${list({ url: GOOD, subtitles: [{ url: GOOD }, { url }] })}::text::jsonb)`,
    import_catalogue: (url) => {
      const entries = [{ mal_id: 1, episode: 1, sources: [{ url }] }];
      return sql`select public.import_catalogue(${JSON.stringify(entries)}::text::jsonb, false)`;
    },
    ...Object.fromEntries(["embed_url", "video_url"].map((field) => [`save_sources ${field}`, (url: string) => {
      const lists = { own: { state: "ok", servers: [server({ [field]: url })] } };
      return sql`select public.save_sources(1, 1, ${JSON.stringify(lists)}::text::jsonb)`;
    }])),
    "save_sources subtitles": (url) => {
      const lists = { own: { state: "ok", servers: [server({ subtitles: [{ url }] })] } };
      return sql`select public.save_sources(1, 1, ${JSON.stringify(lists)}::text::jsonb)`;
    },
    enqueue_video: (url) => sql`select public.enqueue_video(1, 1, 'own', ${url}, '720p')`,
    "enqueue_video embed": (url) => sql`select public.enqueue_video(1, 1, 'own', ${GOOD}, '720p', ${url})`,
  };
  await fixture.database.sql`insert into public.providers (name, recipe, rights) values ('own', 'page', 'own work')`;
  for (const [name, write] of Object.entries(writes)) {
    // An empty embed URL counts as absent.
    for (const url of BAD.filter((url) => url !== "" || name !== "enqueue_video embed")) {
      // enqueue_video reports it as a 400 of the API.
      const refused = (error: { code: string }) => ["23514", "PT400"].includes(error.code);
      await assert.rejects(Promise.resolve(write(url)), refused, `${name}: ${url}`);
    }
    await write(GOOD);
    await fixture.database.sql`delete from public.catalogue where true`;
  }
});
