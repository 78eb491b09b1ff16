import assert from "node:assert/strict";
import type { Sql } from "postgres";
import { startNetWorker } from "./net_worker.ts";
import { createTestDatabase, type TestDatabase } from "../../testing/test_database.ts";

interface Arrival {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: string;
}

/** A server that records requests with their arrival times. */
function startReceiver(respond: (request: Request) => Response | Promise<Response> = () => new Response("ok")) {
  const arrivals: Arrival[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    arrivals.push({
      method: request.method,
      path: pathname + search,
      headers: request.headers,
      body: await request.text(),
    });
    for (const each of waiting) if (arrivals.length >= each.count) each.resolve();
    return await respond(request);
  });
  return {
    arrivals,
    url: `http://127.0.0.1:${server.addr.port}`,
    async arrived(count: number): Promise<void> {
      if (arrivals.length >= count) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ count, resolve });
      await promise;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

async function withNet(): Promise<TestDatabase> {
  const database = await createTestDatabase();
  await database.sql.unsafe("create extension if not exists pg_net with schema extensions");
  return database;
}

async function responseOf(sql: Sql, id: string): Promise<Record<string, unknown>> {
  while (true) {
    const [row] = await sql`select * from net._http_response where id = ${id}`;
    if (row) return { ...row };
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

Deno.test("net.http_post: committed → sent, response stored", async () => {
  await using database = await withNet();
  await using receiver = startReceiver(() => Response.json({ got: true }, { status: 202 }));
  const worker = await startNetWorker({ databaseUrl: database.adminUrl });
  try {
    const id = await database.sql.begin(async (sql) => {
      const [row] = await sql`
        select net.http_post(${receiver.url} || '/trigger', '{"a": 1}', '{"q": "1 2"}', '{"x-sign": "s"}', 2000) as id`;
      assert.equal(receiver.arrivals.length, 0);
      return row!.id as string;
    });
    await receiver.arrived(1);
    const [arrival] = receiver.arrivals;
    assert.equal(arrival?.method, "POST");
    assert.equal(arrival?.path, "/trigger?q=1%202");
    assert.equal(arrival?.body, '{"a": 1}');
    assert.equal(arrival?.headers.get("x-sign"), "s");
    assert.equal(arrival?.headers.get("content-type"), "application/json");
    assert.equal(arrival?.headers.get("user-agent"), "pg_net/0.20.0");
    const response = await responseOf(database.sql, id);
    assert.deepEqual(
      {
        status: response.status_code,
        content: response.content,
        timed_out: response.timed_out,
        error: response.error_msg,
      },
      { status: 202, content: '{"got":true}', timed_out: false, error: null },
    );
    await database.sql`select net.check_worker_is_up()`;
  } finally {
    await worker.stop();
  }
});

Deno.test("net.http_post: rolled back → never sent", async () => {
  await using database = await withNet();
  await using receiver = startReceiver();
  const worker = await startNetWorker({ databaseUrl: database.adminUrl });
  try {
    await assert.rejects(database.sql.begin(async (sql) => {
      await sql`select net.http_post(${receiver.url} || '/lost')`;
      throw new Error("changed my mind");
    }));
    await database.sql`select net.http_post(${receiver.url} || '/kept')`;
    await receiver.arrived(1);
    assert.deepEqual(receiver.arrivals.map((each) => each.path), ["/kept"]);
  } finally {
    await worker.stop();
  }
});

Deno.test("net worker: no listener, a timeout, an unknown host → stored errors", async () => {
  await using database = await withNet();
  const hold = Promise.withResolvers<Response>();
  await using receiver = startReceiver(() => hold.promise);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const closed = `http://127.0.0.1:${listener.addr.port}/`;
  listener.close();
  const worker = await startNetWorker({ databaseUrl: database.adminUrl });
  try {
    const post = async (url: string) =>
      (await database.sql`select net.http_post(${url}, timeout_milliseconds := 150) as id`)[0]!.id;
    const [refused, slow, unknown] = [
      await post(closed),
      await post(receiver.url),
      await post("http://nowhere.invalid/"),
    ];
    assert.equal((await responseOf(database.sql, refused)).error_msg, "Couldn't connect to server");
    const late = await responseOf(database.sql, slow);
    assert.deepEqual([late.timed_out, late.status_code], [true, null]);
    assert.match(String(late.error_msg), /^Timeout of 150 ms reached/);
    const missing = await responseOf(database.sql, unknown);
    assert.notEqual(missing.error_msg, null);
  } finally {
    hold.resolve(new Response());
    await worker.stop();
  }
});

Deno.test("net worker: a burst larger than a batch → each request sent once", async () => {
  await using database = await withNet();
  await using receiver = startReceiver();
  const worker = await startNetWorker({ databaseUrl: database.adminUrl });
  try {
    await database.sql`select net.http_post(${receiver.url} || '/' || n) from generate_series(1, 450) as n`;
    await receiver.arrived(450);
    assert.equal(new Set(receiver.arrivals.map((each) => each.path)).size, 450);
    assert.equal(receiver.arrivals.length, 450);
  } finally {
    await worker.stop();
  }
});

Deno.test("net worker: requests queued while it was down → sent on start", async () => {
  await using database = await withNet();
  await using receiver = startReceiver((request) =>
    new URL(request.url).pathname === "/a" ? Response.redirect(new URL("/b", request.url)) : new Response()
  );
  await database.sql`select net.http_post(${receiver.url} || '/a')`;
  const worker = await startNetWorker({ databaseUrl: database.adminUrl });
  try {
    await receiver.arrived(2);
    assert.deepEqual(receiver.arrivals.map((each) => `${each.method} ${each.path}`), ["POST /a", "GET /b"]);
  } finally {
    await worker.stop();
  }
});

Deno.test("net worker: Postgres ended → no unhandled error", async () => {
  await using database = await withNet();
  const worker = await startNetWorker({ databaseUrl: database.adminUrl });
  await database.admin`
    select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'pg_net%' and datname = current_database()`;
  await using receiver = startReceiver();
  await database.sql`select net.http_post(${receiver.url} || '/again')`;
  await receiver.arrived(1);
  await worker.stop();
});
