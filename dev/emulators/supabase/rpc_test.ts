/** Calls of functions through the gateway, by supabase-js, against PostgREST's documented behaviour. */
import assert from "node:assert/strict";
import { createGatewayFixture } from "../../testing/gateway_fixture.ts";

Deno.test("rpc: each kind of return value → PostgREST's response", async (t) => {
  await using fixture = await createGatewayFixture();
  const { service } = fixture;
  const film = { id: 2, title: "Beta", year: 2002, tags: ["x"], studio: null };
  const cases: [string, Record<string, unknown>, unknown][] = [
    ["add", { a: 2 }, 3],
    ["add", { a: 2, b: 5 }, 7],
    ["one_film", { film_id: 2 }, film],
    ["films", { since: 2003 }, [{ id: 3, title: "Gamma, or (G)", year: 2003, tags: null, studio: null }]],
    ["films", { since: 3000 }, []],
    ["names", {}, ["Alpha", "Beta", "Gamma, or (G)"]],
    ["as_table", {}, [{ id: 1, label: "one" }, { id: 2, label: "two" }]],
    ["document", { value: { a: [1, null, "ü"] } }, { a: [1, null, "ü"] }],
    ["document", { value: "text" }, "text"],
    ["document", { value: null }, null],
    ["whole", { any: "thing" }, { any: "thing" }],
    ["take", { ids: [crypto.randomUUID(), crypto.randomUUID()], at: "2026-01-02T03:04:05+02:00", limit: 3 }, {
      n: 2,
      at: "2026-01-02T01:04:05",
      limit: 3,
    }],
  ];
  for (const [name, args, expected] of cases) {
    await t.step(`${name}(${JSON.stringify(args)})`, async () => {
      const { data, error, status } = await service.rpc(name, args);
      assert.equal(error, null);
      assert.equal(status, 200);
      assert.deepEqual(data, expected);
    });
  }
  await t.step("void → 204 without a body", async () => {
    const { data, error, status } = await service.rpc("nothing");
    assert.deepEqual({ data, error, status }, { data: null, error: null, status: 204 });
  });
  await t.step("no row of a composite → an object of nulls", async () => {
    const { data } = await service.rpc("one_film", { film_id: 99 });
    assert.deepEqual(data, { id: null, title: null, year: null, tags: null, studio: null });
  });
});

Deno.test("rpc: filters, order, range, count → applied to a set of rows", async () => {
  await using fixture = await createGatewayFixture();
  const { service } = fixture;
  const picked = await service.rpc("films", {}).select("label:title,mood:tags->>mood").gt("year", 2000).order("id", {
    ascending: false,
  }).limit(1);
  assert.deepEqual(picked.data, [{ label: "Gamma, or (G)", mood: null }]);
  const counted = await service.rpc("films", {}, { count: "exact" }).range(1, 1);
  assert.equal(counted.status, 206);
  assert.equal(counted.count, 3);
  const head = await service.rpc("films", {}, { head: true, count: "exact" });
  assert.deepEqual([head.data, head.count, head.status], [null, 3, 200]);
  const read = await service.rpc("add", { a: 40, b: 2 }, { get: true });
  assert.equal(read.data, 42);
  const beyond = await fixture.request("/rest/v1/rpc/films?offset=10", {
    method: "POST",
    headers: { prefer: "count=exact" },
  });
  assert.equal(beyond.status, 416);
  assert.equal((await beyond.json()).code, "PGRST103");
});

Deno.test("rpc: .single(), .maybeSingle() → what supabase-js expects", async () => {
  await using fixture = await createGatewayFixture();
  const { service } = fixture;
  const one = await service.rpc("films", { since: 2003 }).single<{ id: number }>();
  assert.equal(one.data?.id, 3);
  const none = await service.rpc("films", { since: 3000 }).single();
  assert.equal(none.status, 406);
  assert.equal(none.error?.code, "PGRST116");
  assert.equal(none.error?.details, "The result contains 0 rows");
  const maybe = await service.rpc("films", { since: 3000 }).maybeSingle();
  assert.deepEqual([maybe.data, maybe.error], [null, null]);
  const many = await service.rpc("films", {}).single();
  assert.equal(many.error?.details, "The result contains 3 rows");
});

Deno.test("rpc: no matching function → PostgREST's errors", async (t) => {
  await using fixture = await createGatewayFixture();
  const { service } = fixture;
  const cases: [string, Record<string, unknown>, number, string][] = [
    ["missing", {}, 404, "PGRST202"],
    ["add", {}, 404, "PGRST202"],
    ["add", { a: 1, c: 2 }, 404, "PGRST202"],
    ["twice", { a: 1 }, 300, "PGRST203"],
    ["add", { a: "one" }, 400, "22P02"],
    ["take", { ids: "x", at: null, limit: null }, 400, "22P02"],
  ];
  for (const [name, args, status, code] of cases) {
    await t.step(`${name}(${JSON.stringify(args)}) → ${status} ${code}`, async () => {
      const response = await service.rpc(name, args);
      assert.deepEqual([response.status, response.error?.code], [status, code]);
    });
  }
  const { error } = await service.rpc("add", { x: 1, a: 2 });
  assert.equal(error?.message, "Could not find the function public.add(a, x) in the schema cache");
  assert.equal(error?.hint, "Perhaps you meant to call the function public.add(a, b)");
});

Deno.test("rpc: every documented SQLSTATE → PostgREST's status", async (t) => {
  await using fixture = await createGatewayFixture();
  const states: [string, number][] = [
    ["PT404", 404],
    ["PT409", 409],
    ["PT422", 422],
    ["PT429", 429],
    ["PT999", 500],
    ["23503", 409],
    ["23505", 409],
    ["23502", 400],
    ["23514", 400],
    ["22023", 400],
    ["42883", 404],
    ["42P01", 404],
    ["42501", 403],
    ["57014", 500],
    ["57P01", 503],
    ["08006", 503],
    ["53300", 503],
    ["53400", 500],
    ["40001", 500],
    ["40P01", 500],
    ["54000", 500],
    ["55P03", 500],
    ["25006", 405],
    ["28000", 403],
    ["0L000", 403],
    ["0P000", 403],
    ["21000", 500],
    ["38000", 500],
    ["P0002", 500],
    ["XX000", 500],
    ["99999", 400],
  ];
  for (const [state, expected] of states) {
    await t.step(`${state} → ${expected}`, async () => {
      const { status, error } = await fixture.service.rpc("fail", { state });
      assert.equal(status, expected);
      assert.deepEqual({ ...error, name: undefined }, {
        code: state,
        message: "no",
        details: "d",
        hint: "h",
        name: undefined,
      });
    });
  }
  await t.step("a plain raise exception → 400 P0001", async () => {
    const { status, error } = await fixture.service.rpc("plain_fail");
    assert.deepEqual([status, error?.code, error?.message, error?.details, error?.hint], [
      400,
      "P0001",
      "plain",
      null,
      null,
    ]);
  });
  await t.step("a division by zero → 400 22012", async () => {
    const { status, error } = await fixture.service.rpc("divide");
    assert.deepEqual([status, error?.code], [400, "22012"]);
  });
  await t.step("a statement timeout → 500 57014", async () => {
    const { status, error } = await fixture.service.rpc("sleep_long");
    assert.deepEqual([status, error?.code], [500, "57014"]);
  });
  await t.step("a missing privilege as anon → 401", async () => {
    const { status, error } = await fixture.anon.rpc("fail", { state: "42501" });
    assert.deepEqual([status, error?.code], [401, "42501"]);
  });
});

Deno.test("rpc: GET → read-only; a function may set status and headers", async () => {
  await using fixture = await createGatewayFixture();
  const written = await fixture.service.rpc("write_film", { name: "Delta" }, { get: true });
  assert.deepEqual([written.status, written.error?.code], [405, "25006"]);
  const tea = await fixture.request("/rest/v1/rpc/teapot", { method: "POST" });
  assert.deepEqual([tea.status, tea.headers.get("x-tea"), await tea.json()], [418, "green", "tea"]);
  const put = await fixture.request("/rest/v1/rpc/add", { method: "PUT", body: "{}" });
  assert.deepEqual([put.status, (await put.json()).code], [405, "PGRST101"]);
});

Deno.test("rpc: a body that is not an object → 400; an unsupported type → 406", async (t) => {
  await using fixture = await createGatewayFixture();
  for (const body of ["[", "1", "[]", '"x"', "nul", '{"a":1']) {
    await t.step(`${body} → 400`, async () => {
      const response = await fixture.request("/rest/v1/rpc/add", { method: "POST", body });
      assert.deepEqual([response.status, (await response.json()).code], [400, "PGRST102"]);
    });
  }
  const nul = await fixture.request("/rest/v1/rpc/document", { method: "POST", body: '{"value": "a\\u0000b"}' });
  assert.deepEqual([nul.status, (await nul.json()).code], [400, "22P05"]);
  const csv = await fixture.request("/rest/v1/rpc/names", { method: "POST", headers: { accept: "text/csv" } });
  assert.deepEqual([csv.status, (await csv.json()).code], [406, "PGRST107"]);
  const proto = await fixture.service.rpc("document", JSON.parse('{"value": {"__proto__": 1}}'));
  assert.equal(JSON.stringify(proto.data), '{"__proto__":1}');
});
