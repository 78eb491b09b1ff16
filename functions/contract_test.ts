// docs/reference/openapi.json against real responses: every status, media type, header and body.
import assert from "node:assert/strict";
import { z } from "zod";
import { archiveVideo, createFunctionFixture, type FunctionFixture } from "../dev/testing/function_fixture.ts";
import { buildArchiveApp } from "./archive/build.ts";
import { createArchiveApp } from "./archive/routes.ts";
import type { OperatorStore } from "./archive/operator_store.ts";
import { buildStreamingApp } from "./streaming/build.ts";

interface Documented {
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, { readonly schema: { readonly $ref: string } }>>;
}

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, Documented>>;
}

const openapi: {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Record<string, unknown>>> };
} = JSON.parse(await Deno.readTextFile(new URL("../docs/reference/openapi.json", import.meta.url)));

/** Documented headers that only some responses have. */
const OPTIONAL_HEADERS = ["ratelimit", "ratelimit-policy"];

function operationOf(method: string, path: string): Operation | null {
  const parts = path.split("?")[0]!.replace(/^\/api\/v1/, "").split("/");
  const found = Object.entries(openapi.paths).filter(([template]) => {
    const wanted = template.split("/");
    return wanted.length === parts.length && wanted.every((part, at) => part.startsWith("{") || part === parts[at]);
  });
  const [, operations] = found.find(([template]) => !template.includes("{")) ?? found[0] ?? [];
  return operations?.[method.toLowerCase()] ?? null;
}

async function assertDocumented(operation: Operation, response: Response, at: string): Promise<unknown> {
  const documented = operation.responses[response.status];
  assert.ok(documented, `${at}: ${response.status} is not documented for ${operation.operationId}`);
  for (const name of Object.keys(documented.headers ?? {})) {
    if (!OPTIONAL_HEADERS.includes(name)) {
      assert.ok(response.headers.has(name), `${at}: ${response.status} without ${name}`);
    }
  }
  const text = await response.text();
  if (documented.content === undefined) {
    assert.equal(text, "");
    return null;
  }
  const type = response.headers.get("content-type")?.split(";")[0] ?? "";
  const schema = documented.content[type]?.schema.$ref.split("/").at(-1);
  assert.ok(schema, `${at}: ${response.status} as ${type}`);
  const body: unknown = JSON.parse(text);
  const parsed = schemaOf(schema).safeParse(body);
  assert.ok(parsed.success, `${at}: ${parsed.error?.message} in ${text.slice(0, 500)}`);
  return body;
}

function schemaOf(name: string): z.ZodType {
  const { schemas } = openapi.components;
  const local = JSON.stringify({ ...schemas[name], $defs: schemas }).replaceAll("#/components/schemas/", "#/$defs/");
  return z.fromJSONSchema(JSON.parse(local) as Parameters<typeof z.fromJSONSchema>[0]);
}

const seen = new Set<string>();

function client(fixture: FunctionFixture) {
  const streaming = buildStreamingApp(fixture.env);
  const archive = buildArchiveApp(fixture.env);
  return async (
    method: string,
    path: string,
    { headers, body }: { headers?: Record<string, string>; body?: string } = {},
  ) => {
    const operation = operationOf(method, path)!;
    const operator = path.startsWith("/archive");
    const response = await (operator ? archive : streaming).request(path, {
      method,
      headers: { ...(operator && { apikey: fixture.secretKey }), ...headers },
      ...(body !== undefined && { body }),
    });
    const { status } = response;
    const json = await assertDocumented(operation, response, `${method} ${path}`);
    seen.add(`${operation.operationId} ${status}`);
    return { status, headers: response.headers, body: json as Record<string, never> };
  };
}

Deno.test("openapi: every response is documented, every documented one occurs", async () => {
  await using fixture = await createFunctionFixture();
  await fixture.database.admin`update keepstream.settings set client_requests_per_minute = 4 where true`;
  const ask = client(fixture);
  const status = async (...call: Parameters<typeof ask>) => (await ask(...call)).status;
  const json = (value: unknown) => ({ body: JSON.stringify(value), headers: { "content-type": "application/json" } });
  const html = { headers: { accept: "text/html" } };

  // Set up by the operator: two providers and a catalogue.
  assert.equal(
    await status(
      "POST",
      "/archive/providers",
      json([{ name: "own", recipe: "catalogue" }, {
        name: "site",
        recipe: "select-base64",
        base_url: "https://site.test",
      }]),
    ),
    200,
  );
  const catalogue = [{
    mal_id: 1,
    episode: 1,
    title: "T",
    rights: "own work",
    sources: [{
      url: "https://own.test/1.mp4",
      resolution: "720p",
      subtitles: [{ url: "https://own.test/en.vtt", language: "en" }],
    }],
  }];
  assert.equal(await status("POST", "/archive/catalogue", json(catalogue)), 200);
  assert.equal(
    await status("POST", "/archive/catalogue?dry_run=1", {
      body: "mal_id,episode,url\n1,2,https://own.test/2.mp4\n",
      headers: { "content-type": "text/csv; charset=utf-8" },
    }),
    200,
  );
  for (const path of ["/archive/catalogue", "/archive/providers"]) {
    assert.equal(await status("POST", path, json([{}])), 400);
    assert.equal(
      await status("POST", path, { body: "a=b", headers: { "content-type": "application/x-www-form-urlencoded" } }),
      415,
    );
    assert.equal(await status("POST", path, { body: "x".repeat(9 * 1024 * 1024) }), 413);
  }
  assert.equal(await status("GET", "/archive/mappings/1/site"), 404);
  assert.equal(await status("PUT", "/archive/mappings/1/site", json({ page: "/anime/x/" })), 200);
  const mapped = await ask("GET", "/archive/mappings/1/site");
  assert.deepEqual([mapped.body.page, mapped.body.by_operator], ["/anime/x/", true]);
  for (const method of ["GET", "PUT"]) {
    assert.equal(await status(method, "/archive/mappings/0/site", method === "PUT" ? json({ page: "/x/" }) : {}), 400);
  }
  assert.equal(await status("PUT", "/archive/mappings/1/site", { body: "x".repeat(9 * 1024 * 1024) }), 413);
  assert.equal(
    await status("PUT", "/archive/mappings/1/site", { body: "<a/>", headers: { "content-type": "text/xml" } }),
    415,
  );
  assert.equal(await status("PUT", "/archive/mappings/1/site", json({ page: null })), 200);

  // The public route: cold, cached, unchanged, over the limit, invalid.
  const exhausted = { "x-forwarded-for": "192.0.2.9" };
  for (const [method, from] of [["GET", "192.0.2.9"], ["POST", "192.0.2.8"]] as const) {
    const headers = { "x-forwarded-for": from };
    const first = await ask(method, "/streaming/1/1", { headers });
    assert.deepEqual([first.status, first.headers.get("ratelimit-policy")], [200, '"client";q=4;w=60']);
    assert.match(first.headers.get("ratelimit") ?? "", /^"client";r=3;t=\d+$/);
    const again = await ask(method, "/streaming/1/1", { headers });
    assert.equal(again.status, 200);
    const same = await ask(method, "/streaming/1/1", {
      headers: { ...headers, "if-none-match": again.headers.get("etag")! },
    });
    assert.equal(same.status, method === "GET" ? 304 : 200);
    assert.equal(await status(method, "/streaming/1/2", { headers }), 200);
    assert.equal(await status(method, "/streaming/1/1", { headers }), 429);
    assert.equal(await status(method, "/streaming/0/1"), 400);
    assert.equal(await status(method, "/streaming/1/1", html), 406);
  }
  assert.equal(
    (await ask("GET", "/streaming/1/1", { headers: exhausted })).headers.get("ratelimit")?.startsWith(
      '"client";r=0;t=',
    ),
    true,
  );
  for (const path of ["/streaming/health", "/streaming/takedowns", "/archive/health"]) {
    assert.equal(await status("GET", path), 200);
    assert.equal(await status("GET", path, html), 406);
  }
  await fixture.database.serviceRole`select public.takedown(9)`;
  for (const method of ["GET", "POST"]) assert.equal(await status(method, "/streaming/9/1"), 451);

  // The queue.
  assert.equal((await ask("GET", "/archive/counts")).status, 200);
  const [video] = (await ask("GET", "/archive/videos?mal_id=1")).body.videos as unknown as { id: string }[];
  assert.ok(video);
  assert.equal(await status("GET", "/archive/videos?mal_id=2147483647"), 200);
  assert.equal(await status("GET", "/archive/videos?limit=0"), 400);
  assert.equal(await status("POST", `/archive/videos/${video.id}/retry`), 409);
  assert.equal(await status("POST", `/archive/videos/${video.id}/cancel`), 200);
  assert.equal(await status("POST", `/archive/videos/${video.id}/retry`), 200);
  assert.equal(await status("POST", "/archive/videos/retry"), 200);
  for (const verb of ["retry", "cancel"]) assert.equal(await status("POST", `/archive/videos/x/${verb}`), 400);
  assert.equal(await status("POST", `/archive/videos/${crypto.randomUUID()}/cancel`), 404);
  await archiveVideo(fixture, "720p");
  assert.equal(await status("POST", `/archive/videos/${video.id}/cancel`), 422);
  assert.equal(await status("GET", "/archive/providers"), 200);

  // Every operator route: without a valid key, without JSON in Accept, without a database.
  const operations = Object.entries(openapi.paths).filter(([path]) =>
    path.startsWith("/archive/") && !path.endsWith("health")
  )
    .flatMap(([path, methods]) =>
      Object.keys(methods).map((method) =>
        [
          method.toUpperCase(),
          path.replace("{id}", video.id).replace("{malId}", "1").replace("{provider}", "site"),
        ] as const
      )
    );
  const bodies: Readonly<Record<string, unknown>> = {
    "/archive/catalogue": catalogue,
    "/archive/providers": [],
    "/archive/mappings/1/site": { page: "/x/" },
  };
  for (const [method, path] of operations) {
    const send = method === "GET" || bodies[path] === undefined ? {} : json(bodies[path]);
    for (const apikey of ["", "sb_publishable_x", `${fixture.secretKey}x`]) {
      assert.equal(await status(method, path, { ...send, headers: { apikey } }), 401, path);
    }
    assert.equal(await status(method, path, html), 406);
    fixture.setDatabaseUp(false);
    assert.equal(await status(method, path, send), 503, path);
    fixture.setDatabaseUp(true);
  }
  fixture.setDatabaseUp(false);
  for (const method of ["GET", "POST"]) assert.equal(await status(method, "/streaming/5/5"), 503);
  const later = client(fixture); // without the first apps' cached health
  for (const path of ["/streaming/health", "/streaming/takedowns", "/archive/health"]) {
    assert.equal((await later("GET", path)).status, 503);
  }

  const documented = Object.values(openapi.paths).flatMap((methods) => Object.values(methods))
    .flatMap(({ operationId, responses }) => Object.keys(responses).map((code) => `${operationId} ${code}`));
  assert.deepEqual(documented.filter((one) => !seen.has(one) && !one.endsWith(" 500")), []);
});

Deno.test("internal error → 500 with the logged id, without its message", async () => {
  const logged: unknown[] = [];
  const store = new Proxy({}, { get: () => () => Promise.reject(new Error("secret words")) }) as OperatorStore;
  const app = createArchiveApp({
    ...{ store, operatorKeys: ["k"], health: () => Promise.resolve(null) },
    onError: (_event, _error, id) => void logged.push(id),
  });
  const response = await app.request("/archive/counts", { headers: { apikey: "k", "x-request-id": "caller-0001" } });
  assert.equal(response.headers.get("x-request-id"), "caller-0001");
  const body = await assertDocumented(operationOf("GET", "/archive/counts")!, response, "GET /archive/counts") as {
    request_id: string;
  };
  assert.deepEqual([response.status, body.request_id, logged], [500, "caller-0001", ["caller-0001"]]);
  assert.ok(!JSON.stringify(body).includes("secret words"));
});

Deno.test("unknown method → 405 with Allow; unknown path → 404; both problems", async () => {
  await using fixture = await createFunctionFixture();
  const [streaming, archive] = [buildStreamingApp(fixture.env), buildArchiveApp(fixture.env)];
  const cases = [
    ["DELETE", "/streaming/1/1", 405, "GET, HEAD, POST"],
    ["PUT", "/api/v1/streaming/1/1", 405, "GET, HEAD, POST"],
    ["POST", "/streaming/health", 405, "GET, HEAD"],
    ["GET", "/streaming/1", 404, null],
    ["GET", "/streaming/1/1/1", 404, null],
    ["GET", "/", 404, null],
    ["GET", "/archive/videos/retry", 405, "POST"],
    ["DELETE", "/archive/catalogue", 405, "POST"],
    ["PATCH", "/archive/mappings/1/x", 405, "GET, HEAD, PUT"],
    ["GET", "/archive/nowhere", 404, null],
  ] as const;
  for (const [method, path, status, allow] of cases) {
    const app = path.startsWith("/archive") ? archive : streaming;
    const response = await app.request(path, { method, headers: { apikey: fixture.secretKey } });
    assert.deepEqual([response.status, response.headers.get("allow")], [status, allow], `${method} ${path}`);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    const body = await response.json();
    assert.deepEqual([body.status, body.success], [status, false]);
  }
});

Deno.test("HEAD → GET without body; plain request ids kept; nosniff", async () => {
  await using fixture = await createFunctionFixture();
  const app = buildStreamingApp(fixture.env);
  const [get, head] = [await app.request("/streaming/1/1"), await app.request("/streaming/1/1", { method: "HEAD" })];
  assert.deepEqual([head.status, await head.text()], [200, ""]);
  for (
    const name of ["content-type", "etag", "cache-control", "access-control-allow-origin", "x-content-type-options"]
  ) {
    assert.equal(head.headers.get(name), get.headers.get(name), name);
  }
  assert.equal(get.headers.get("x-content-type-options"), "nosniff");
  const idFor = async (given: string) =>
    (await app.request("/streaming/health", { headers: { "x-request-id": given } })).headers.get("x-request-id");
  assert.equal(await idFor("0199f0c2-7b1d"), "0199f0c2-7b1d");
  for (const bad of ["short", "x".repeat(65), 'a"b<script>', "a b c d e f g"]) {
    assert.match(await idFor(bad) ?? "", /^[0-9a-f-]{36}$/);
  }
});

Deno.test("If-None-Match: unchanged → 304 with readable headers; changed → 200", async () => {
  await using fixture = await createFunctionFixture();
  const app = buildStreamingApp(fixture.env);
  await fixture.database.sql`insert into public.providers (name, recipe) values ('own', 'catalogue')`;
  await fixture.database
    .sql`insert into public.catalogue (mal_id, episode, sources) values (1, 1, '[{"url":"https://own.test/1.mp4"}]')`;
  await app.request("/streaming/1/1");
  const etag = (await app.request("/streaming/1/1")).headers.get("etag")!;
  assert.match(etag, /^W\/"[0-9a-z]+"$/);
  const ask = (tag: string) =>
    app.request("/streaming/1/1", { headers: { "if-none-match": tag, origin: "https://a.test" } });
  await fixture.database
    .admin`update keepstream.source_lists set fetched_at = fetched_at - interval '9 seconds' where true`;
  for (const tag of [etag, `"other", ${etag}`, etag.slice(2), "*"]) {
    const response = await ask(tag);
    assert.deepEqual(
      [response.status, await response.text(), response.headers.get("etag")],
      [304, "", etag],
      "an older age is no news",
    );
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    assert.match(response.headers.get("access-control-expose-headers") ?? "", /etag.*ratelimit/i);
  }
  assert.equal((await ask('"other"')).status, 200);
  await fixture.database.sql`update public.catalogue set title = 'New' where true`;
  assert.equal((await ask(etag)).status, 200);
});
