// A database that is read-only, slow or locked: known data is served, nothing is counted, claimed or enqueued.
import assert from "node:assert/strict";
import { archiveVideo, createFunctionFixture, type FunctionFixture } from "../../dev/testing/function_fixture.ts";
import { buildStreamingApp } from "./build.ts";
import { episodeResponseSchema } from "./episode_schema.ts";
import type { EpisodeResponse } from "./episode_schema.ts";

const CLIENT = { "x-forwarded-for": "192.0.2.1" };

/** A catalogue episode with a source list and an archive. */
async function addEpisode(fixture: FunctionFixture, app: ReturnType<typeof buildStreamingApp>): Promise<string> {
  await fixture.database.sql`insert into public.providers (name, recipe) values ('own', 'catalogue')`;
  const sources = [{ url: "https://own.test/1.mp4", resolution: "720p" }];
  await fixture.database.sql`insert into public.catalogue (mal_id, episode, sources, rights)
    values (1, 1, ${JSON.stringify(sources)}::text::jsonb, 'own work')`;
  await app.request("/streaming/1/1");
  return await archiveVideo(fixture, "720p");
}

async function ask(app: ReturnType<typeof buildStreamingApp>, path: string): Promise<EpisodeResponse> {
  const response = await app.request(path, { headers: CLIENT });
  assert.equal(response.status, 200);
  return episodeResponseSchema.parse(await response.json()) as EpisodeResponse;
}

/** What the function logs while `run` goes on. */
async function logged(run: () => Promise<unknown>): Promise<string> {
  const lines: string[] = [];
  const log = console.log;
  console.log = (line: string) => void lines.push(line);
  try {
    await run();
  } finally {
    console.log = log;
  }
  return lines.join("\n");
}

const counted = (fixture: FunctionFixture) =>
  fixture.database.admin`select from keepstream.client_limits`.then((rows) => rows.length);

/** Waits until the gateway's connections use the database's new defaults. */
async function reconnect(fixture: FunctionFixture): Promise<void> {
  await fixture.database.admin`
    select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'gateway'`;
}

async function eventuallyAsks(app: ReturnType<typeof buildStreamingApp>, code: string): Promise<EpisodeResponse> {
  for (let turn = 0; turn < 200; turn++) {
    const body = await ask(app, "/streaming/1/1");
    if (body.detail?.includes(code)) return body;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`${code} never came`);
}

Deno.test("read-only database: archives, cached lists → served, with the reason", async () => {
  await using fixture = await createFunctionFixture({ HF_ENDPOINT: "https://hub.test" });
  const app = buildStreamingApp(fixture.env);
  const archive = await addEpisode(fixture, app);
  await fixture.database.admin.unsafe(`alter database ${fixture.database.name} set default_transaction_read_only = on`);
  await reconnect(fixture);
  const log = await logged(async () => {
    const { data, detail } = await eventuallyAsks(app, "25006");
    assert.match(detail!, /^read-only: /);
    assert.deepEqual(data.own?.map((server) => [server.archived, server.url_resolved]), [[true, archive]]);
    const other = await ask(buildStreamingApp(fixture.env), "/streaming/1/2");
    assert.deepEqual(other.providers.own, {
      state: "unknown",
      code: "not_read",
      took_ms: 0,
      cached: false,
      master: null,
    });
  });
  assert.match(log, /"episode:read:degraded".*read-only/);
  assert.equal(await counted(fixture), 0);
  assert.equal((await fixture.database.admin`select from keepstream.source_reads`).length, 0);
});

for (const table of ["keepstream.client_limits", "keepstream.source_reads"]) {
  Deno.test(`${table} is locked → served without it, as read-only`, async () => {
    await using fixture = await createFunctionFixture({ HF_ENDPOINT: "https://hub.test" });
    const app = buildStreamingApp(fixture.env);
    const archive = await addEpisode(fixture, app);
    await fixture.database
      .admin`update keepstream.source_lists set fetched_at = now() - interval '25 minutes' where true`;
    const other = fixture.database.connect("supabase_admin", { max: 1 });
    await other`begin`;
    await other.unsafe(`lock table ${table} in access exclusive mode`);
    const { data, detail } = await ask(app, "/streaming/1/1");
    assert.deepEqual(data.own?.map((server) => [server.archived, server.url_resolved]), [[true, archive]]);
    assert.match(detail!, /^read-only: .*55P03/);
    await other`rollback`;
    await fixture.database.admin`update keepstream.source_lists set fetched_at = now() where true`;
    assert.equal((await ask(app, "/streaming/1/1")).detail, undefined);
  });
}

Deno.test("statement timeout → served without counting, as read-only", async () => {
  await using fixture = await createFunctionFixture({ HF_ENDPOINT: "https://hub.test" });
  const app = buildStreamingApp(fixture.env);
  const archive = await addEpisode(fixture, app);
  await fixture.database.admin.unsafe(
    `alter role authenticator in database ${fixture.database.name} set statement_timeout = '700ms'`,
  );
  await reconnect(fixture);
  const other = fixture.database.connect("supabase_admin", { max: 1 });
  await other`begin`;
  await other`lock table keepstream.client_limits in access exclusive mode`;
  const { data } = await eventuallyAsks(app, "57014");
  assert.deepEqual(data.own?.map((server) => [server.archived, server.url_resolved]), [[true, archive]]);
  await other`rollback`;
});

for (const code of ["53100", "40P01", "40001"]) {
  Deno.test(`counting fails with ${code} → served without it, as read-only`, async () => {
    await using fixture = await createFunctionFixture({ HF_ENDPOINT: "https://hub.test" });
    const app = buildStreamingApp(fixture.env);
    const archive = await addEpisode(fixture, app);
    await fixture.database.admin.unsafe(`create or replace function keepstream.count_request(client text) returns jsonb
      language plpgsql as $$ begin raise exception using errcode = '${code}', message = 'refused'; end $$`);
    const { data, detail } = await ask(app, "/streaming/1/1");
    assert.deepEqual(data.own?.map((server) => [server.archived, server.url_resolved]), [[true, archive]]);
    assert.match(detail!, new RegExp(`^read-only: .*${code}`));
  });
}

Deno.test("read-only database that does not respond → 503 says read-only", async () => {
  await using fixture = await createFunctionFixture();
  const app = buildStreamingApp(fixture.env);
  const other = fixture.database.connect("supabase_admin", { max: 1 });
  await other`begin`;
  await other`lock table public.video_queue in access exclusive mode`;
  const response = await app.request("/streaming/1/1", { headers: CLIENT });
  const body = await response.json();
  assert.deepEqual([response.status, body.code], [503, "database_unavailable"]);
  assert.match(body.detail, /^read-only: /);
  await other`rollback`;
});
