// Health of both functions; with deep=1 also whether links play.
import assert from "node:assert/strict";
import { createFunctionFixture, type FunctionFixture } from "../dev/testing/function_fixture.ts";
import { startWorker } from "../dev/emulators/workerd/workerd.ts";
import { buildArchiveApp } from "./archive/build.ts";
import { buildStreamingApp } from "./streaming/build.ts";

const BUILD = { streaming: (env: Record<string, string>) => buildStreamingApp(env), archive: buildArchiveApp };

for (const name of ["streaming", "archive"] as const) {
  const ask = async (fixture: FunctionFixture, more: Record<string, string> = {}) => {
    const response = await BUILD[name]({ ...fixture.env, ...more }).request(`/${name}/health`);
    return { status: response.status, retryAfter: response.headers.get("retry-after"), ...await response.json() };
  };

  Deno.test(`${name}/health: the database accepts the key → 200, called once for many`, async () => {
    await using fixture = await createFunctionFixture();
    const app = BUILD[name](fixture.env);
    const all = await Promise.all(Array.from({ length: 20 }, () => app.request(`/api/v1/${name}/health`)));
    assert.deepEqual([...new Set(all.map((one) => one.status))], [200]);
    assert.deepEqual(fixture.calls, ["/rest/v1/rpc/read_metadata"]);
  });

  Deno.test(`${name}/health: no database, a wrong key, no migrations → 503 says which`, async () => {
    await using fixture = await createFunctionFixture();
    const wrong = await ask(fixture, { SUPABASE_SECRET_KEYS: '{"default":"sb_secret_wrong"}' });
    assert.deepEqual([wrong.status, wrong.code, wrong.retryAfter, wrong.success], [503, "unhealthy", "5", false]);
    assert.match(wrong.detail, /key.*SUPABASE_SECRET_KEYS/);
    fixture.setDatabaseUp(false);
    assert.match((await ask(fixture)).detail, /does not answer/);
    fixture.setDatabaseUp(true);
    assert.equal((await ask(fixture, { SUPABASE_URL: "http://127.0.0.1:9" })).status, 503);
    await fixture.database.sql`drop function public.read_metadata(text)`;
    await fixture.database.sql`notify pgrst`;
    let detail = "";
    for (let turn = 0; turn < 200 && !detail.includes("migrations"); turn++) detail = (await ask(fixture)).detail ?? "";
    assert.match(detail, /apply the migrations/);
  });
}

Deno.test("streaming/health?deep=1: no Worker, another key → 503 says which", async () => {
  await using fixture = await createFunctionFixture();
  await using worker = await startWorker({ vars: { STREAM_SIGNING_KEYS: fixture.env.STREAM_SIGNING_KEYS! } });
  const ask = async (more: Record<string, string>) => {
    const app = buildStreamingApp({ ...fixture.env, CLOUDFLARE_WORKERS_URL: worker.url, ...more });
    assert.equal((await app.request("/streaming/health")).status, 200);
    const response = await app.request("/streaming/health?deep=1");
    return [response.status, (await response.json()).detail ?? null] as const;
  };
  assert.deepEqual(await ask({}), [200, null]);
  for (const keys of [`k1:${"B".repeat(43)}`, `k2:${"A".repeat(43)}`]) {
    const [status, detail] = await ask({ STREAM_SIGNING_KEYS: keys });
    assert.equal(status, 503);
    assert.match(detail, /STREAM_SIGNING_KEYS in both/);
  }
  assert.match((await ask({ CLOUDFLARE_WORKERS_URL: fixture.env.SUPABASE_URL! }))[1], /not the URL of the Worker/);
  assert.match((await ask({ CLOUDFLARE_WORKERS_URL: "http://127.0.0.1:9" }))[1], /does not answer/);
});

Deno.test("environment: other schemes, placeholders → named at the start", async () => {
  await using fixture = await createFunctionFixture();
  const bad: Readonly<Record<string, string>> = {
    CLOUDFLARE_WORKERS_URL: "javascript:alert(1)",
    SUPABASE_URL: "ftp://project.test",
    HF_ENDPOINT: "file:///etc",
    STORAGE_FOLDER_URL: "data:text/html,x",
    SUPABASE_SECRET_KEYS: '{"default":"sb_secret_…"}',
    STREAM_SIGNING_KEYS: "k1:<base64url of 32 bytes>",
  };
  for (const [name, value] of Object.entries(bad)) {
    assert.throws(() => buildStreamingApp({ ...fixture.env, [name]: value }), new RegExp(name));
  }
  assert.throws(() => buildStreamingApp({ ...fixture.env, CLOUDFLARE_WORKERS_URL: "https://w.test/?a=1" }), /no query/);
});
