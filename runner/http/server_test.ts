import assert from "node:assert/strict";
import { type HttpServer, listen } from "./server.ts";

const json = () => Response.json({ status: "ok" });

async function serve(
  run: (server: HttpServer) => Promise<void>,
  fetch: (request: Request) => Response | Promise<Response> = json,
): Promise<void> {
  const server = await listen(fetch, { hostname: "127.0.0.1", port: 0, headersTimeoutMs: 300 });
  try {
    await run(server);
  } finally {
    await server.stop(0);
  }
}

/** Sends the bytes and reads until the server closes the connection. */
async function send(port: number, text: string): Promise<string> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(text));
  return await new Response(connection.readable).text();
}

Deno.test("server: half a header, one line, nothing → 408, closed", async () => {
  await serve(async ({ port }) => {
    for (const part of ["GET / HTTP/1.1\r\nhost: a\r\nx-half", "GET / HTTP/1.1\r\n", "GET", ""]) {
      assert.match(await send(port, part), /^HTTP\/1\.1 408 /, JSON.stringify(part));
    }
  });
});

Deno.test("server: half a header on a reused connection → 408, closed", async () => {
  await serve(async ({ port }) => {
    const text = await send(port, "GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nx-half");
    assert.match(text, /^HTTP\/1\.1 200 [^]*HTTP\/1\.1 408 /);
  });
});

Deno.test("server: an endless header, byte by byte → closed", async () => {
  await serve(async ({ port }) => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nx: "));
    const dripping = setInterval(() => void connection.write(new Uint8Array([97])).catch(() => {}), 20);
    const response = await new Response(connection.readable).text().catch(() => "reset");
    clearInterval(dripping);
    assert.match(response, /^HTTP\/1\.1 408 |^reset$/);
  });
});

Deno.test("server: stalled clients → others are served, stop does not wait", async () => {
  const server = await listen(json, { hostname: "127.0.0.1", port: 0 });
  const stalled = await Promise.all(
    Array.from({ length: 50 }, async () => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
      await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nx"));
      return connection;
    }),
  );
  assert.deepEqual(await (await fetch(`http://127.0.0.1:${server.port}/`)).json(), { status: "ok" });
  await server.stop(0);
  for (const connection of stalled) connection.close();
});

Deno.test("server: HEAD → status and headers of GET, no body", async () => {
  await serve(async ({ port }) => {
    const [get, head] = await Promise.all(["GET", "HEAD"].map(async (method) => {
      const response = await fetch(`http://127.0.0.1:${port}/`, { method });
      const headers = new Map([...response.headers].filter(([name]) => name !== "date"));
      return { status: response.status, headers, body: await response.text() };
    }));
    const length = head!.headers.get("content-length") ?? null;
    assert.ok(length === null || length === get!.headers.get("content-length"), `content-length: ${length}`);
    for (const response of [get!, head!]) response.headers.delete("content-length");
    assert.deepEqual([head!.status, head!.headers, head!.body], [get!.status, get!.headers, ""]);
  });
});

Deno.test("server: the port is in use → rejects and names it", async () => {
  await serve(async ({ port }) => {
    await assert.rejects(listen(json, { hostname: "127.0.0.1", port }), { code: "EADDRINUSE" });
  });
});
