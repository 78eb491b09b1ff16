// Rate limits, invalid requests, hostile labels, invalid rows and invalid configuration.
import assert from "node:assert/strict";
import { createFunctionFixture, SIGNING_KEYS } from "../../dev/testing/function_fixture.ts";
import { base64, mirrorPage } from "../../dev/emulators/sites/select_base64_site.ts";
import { serveSite } from "../../dev/emulators/sites/serve.ts";
import { htmlResponse } from "../../dev/emulators/sites/sites.ts";
import { parseSigningKeys } from "../../core/link.ts";
import { refreshQuery } from "../../core/refresh_request.ts";
import { unwrap } from "../../core/result.ts";
import { buildStreamingApp } from "./build.ts";
import { addProviders, animeSite, mapTitle, servers, startApp } from "../../dev/testing/streaming_fixture.ts";

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
