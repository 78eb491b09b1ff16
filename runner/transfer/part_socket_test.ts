// PUT over our own connection, against a server written byte by byte.

import assert from "node:assert/strict";
import { parseResponse, PartSocket, type PutRangeOptions } from "./part_socket.ts";

const SIZE = 3_000_000;

interface Raw extends AsyncDisposable {
  readonly url: string;
  readonly connections: () => number;
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** A server whose connections `serve` handles; requests arrive as head and a reader of the rest. */
async function startRaw(serve: (conn: Deno.Conn, connection: number) => Promise<void>): Promise<Raw> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let connections = 0;
  const running: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const conn of listener) {
      const handled = serve(conn, ++connections).catch(() => {}).finally(() => {
        try {
          conn.close();
        } catch { /* the test closed it */ }
      });
      running.push(handled);
    }
  })();
  const path = await Deno.makeTempFile({ prefix: "part-socket-" });
  const bytes = Uint8Array.from({ length: SIZE }, (_, index) => (index * 7) & 0xff);
  await Deno.writeFile(path, bytes);
  return {
    url: `http://127.0.0.1:${listener.addr.port}/part?sig=1`,
    connections: () => connections,
    path,
    bytes,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting.catch(() => {});
      await Promise.all(running);
      await Deno.remove(path);
    },
  };
}

/** Reads one request; returns its head and body. */
async function readRequest(conn: Deno.Conn): Promise<{ head: string; body: Uint8Array } | null> {
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(1 << 16);
  let head: string | null = null;
  let wanted = Infinity;
  for (let total = 0; total < wanted;) {
    const count = await conn.read(buffer);
    if (count === null) return null;
    chunks.push(buffer.slice(0, count));
    total += count;
    if (head === null) {
      const text = new TextDecoder("latin1").decode(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
      const end = text.indexOf("\r\n\r\n");
      if (end === -1) continue;
      head = text.slice(0, end);
      wanted = end + 4 + Number(/content-length: (\d+)/i.exec(head)?.[1]);
    }
  }
  const all = new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  return { head: head!, body: all.slice(head!.length + 4) };
}

const say = async (conn: Deno.Conn, text: string) => {
  for (let bytes = new TextEncoder().encode(text); bytes.length > 0;) bytes = bytes.subarray(await conn.write(bytes));
};

const options = (extra: Partial<PutRangeOptions> = {}): PutRangeOptions => ({
  buffer: new Uint8Array(1 << 19),
  idleTimeoutMs: 20_000,
  onBytes: () => {},
  ...extra,
});

Deno.test("PartSocket.put: a range → sent, counted, connection kept", async () => {
  const bodies: Uint8Array[] = [];
  await using raw = await startRaw(async (conn) => {
    for (let request = await readRequest(conn); request; request = await readRequest(conn)) {
      assert.match(request.head, /^PUT \/part\?sig=1 HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\n/);
      bodies.push(request.body);
      await say(conn, 'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n');
    }
  });
  using socket = new PartSocket();
  let counted = 0;
  for (const [start, end] of [[0, 1_000_000], [1_000_000, 2_500_000], [2_500_000, SIZE]] as const) {
    const response = await socket.put(
      raw.url,
      { path: raw.path, start, end },
      options({ onBytes: (count) => counted += count }),
    );
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("etag"), '"e"');
    assert.deepEqual(bodies.at(-1), raw.bytes.slice(start, end));
  }
  assert.equal(counted, SIZE);
  assert.equal(raw.connections(), 1);
});

Deno.test("PartSocket.put: refused early, rest not read → the response", async () => {
  await using raw = await startRaw(async (conn) => {
    await conn.read(new Uint8Array(1000));
    await say(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nExpired");
    await new Promise((resolve) => setTimeout(resolve, 50));
  });
  using socket = new PartSocket();
  const response = await socket.put(raw.url, { path: raw.path, start: 0, end: SIZE }, options());
  assert.equal(response.status, 403);
  assert.equal(await response.text(), "Expired");
});

Deno.test("PartSocket.put: the kept connection was closed → sent on a new one", async () => {
  await using raw = await startRaw(async (conn) => {
    await readRequest(conn);
    await say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); // and closes without saying so
  });
  using socket = new PartSocket();
  for (let part = 0; part < 2; part++) {
    assert.equal((await socket.put(raw.url, { path: raw.path, start: 0, end: 5000 }, options())).status, 200);
  }
  assert.equal(raw.connections(), 2);
});

Deno.test("PartSocket.put: no response → TimeoutError; aborted → the reason", async () => {
  await using raw = await startRaw(async (conn) => {
    while (await conn.read(new Uint8Array(1 << 16)) !== null);
  });
  using socket = new PartSocket();
  const range = { path: raw.path, start: 0, end: 5000 };
  await assert.rejects(socket.put(raw.url, range, options({ idleTimeoutMs: 200 })), { name: "TimeoutError" });
  const stop = new AbortController();
  const reason = new Error("shutting down");
  const running = socket.put(raw.url, range, options({ signal: stop.signal, onBytes: () => stop.abort(reason) }));
  await assert.rejects(running, reason);
});

Deno.test("PartSocket.put: a slow connection → continues while bytes are sent", async () => {
  const size = 24_000_000; // far more than the kernel buffers on both sides
  await using raw = await startRaw(async (conn) => {
    const buffer = new Uint8Array(1 << 18);
    for (let read = 0, paused = 0; read < size;) {
      const count = await conn.read(buffer);
      if (count === null) return;
      read += count;
      if (read < paused + 1_000_000) continue;
      paused = read;
      await new Promise((next) => setTimeout(next, 300));
    }
    await say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  await Deno.truncate(raw.path, size);
  using socket = new PartSocket();
  const slow = options({ buffer: new Uint8Array(size), idleTimeoutMs: 3000 });
  assert.equal((await socket.put(raw.url, { path: raw.path, start: 0, end: size }, slow)).status, 200);
});

Deno.test("PartSocket.put: an endlessly dripping response → TimeoutError", async () => {
  await using raw = await startRaw(async (conn) => {
    await readRequest(conn);
    await say(conn, "HTTP/1.1 200 OK\r\nX-Drip: ");
    for (;;) {
      await say(conn, "d");
      await new Promise((next) => setTimeout(next, 50));
    }
  });
  using socket = new PartSocket();
  const range = { path: raw.path, start: 0, end: 5000 };
  await assert.rejects(socket.put(raw.url, range, options({ idleTimeoutMs: 300 })), { name: "TimeoutError" });
});

Deno.test("PartSocket.put: headers from the store → none for framing, no newline", async () => {
  const heads: string[] = [];
  await using raw = await startRaw(async (conn) => {
    heads.push((await readRequest(conn))?.head ?? "");
    await say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  using socket = new PartSocket();
  const range = { path: raw.path, start: 0, end: 5000 };
  const named = { host: "evil.test", "transfer-encoding": "chunked", "content-length": "7", "x-amz-acl": "private" };
  await socket.put(raw.url, range, options({ headers: named }));
  const broken = { "x-a": "b\r\nhost: evil.test" };
  await assert.rejects(socket.put(raw.url, range, options({ headers: broken })), TypeError);
  assert.equal(heads.length, 1);
  assert.doesNotMatch(heads[0]!, /evil|chunked|length: 7/);
  assert.match(heads[0]!, /\r\nx-amz-acl: private/);
});

Deno.test("PartSocket.put: no TLS handshake → TimeoutError", async () => {
  const over = Promise.withResolvers<void>();
  await using raw = await startRaw(async (conn) => {
    await conn.read(new Uint8Array(1 << 10));
    await over.promise; // Deno closes a TLS connection only after its handshake
  });
  using socket = new PartSocket();
  const url = raw.url.replace("http:", "https:");
  const range = { path: raw.path, start: 0, end: 5000 };
  await assert.rejects(socket.put(url, range, options({ idleTimeoutMs: 200 })), { name: "TimeoutError" });
  over.resolve();
});

Deno.test("PartSocket.put: nothing listens, or not HTTP → an error", async () => {
  await using raw = await startRaw(async (conn) => await say(conn, "220 smtp.test ready\r\n\r\n"));
  using socket = new PartSocket();
  const range = { path: raw.path, start: 0, end: 5000 };
  await assert.rejects(socket.put(raw.url, range, options()), /did not respond with HTTP/);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await assert.rejects(socket.put(`http://127.0.0.1:${port}/`, range, options()), Deno.errors.ConnectionRefused);
});

Deno.test("parseResponse: lengths, chunks, interim responses, closed connection", async () => {
  const parse = (text: string, ended = false) => parseResponse(new TextEncoder().encode(text), { ended });
  assert.equal(parse("HTTP/1.1 200 OK\r\nContent-Len"), null);
  assert.equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), null);
  assert.equal(await parse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")?.response.text(), "abc");
  assert.equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?.keep, false);
  assert.equal(parse("HTTP/1.1 204 No Content\r\n\r\n")?.keep, true);
  assert.equal(
    parse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?.response.status,
    200,
  );
  const chunked = "HTTP/1.1 503 Slow\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nSlow\r\n";
  assert.equal(parse(chunked), null);
  assert.match(await parse(`${chunked}0\r\n\r\n`)!.response.text(), /Slow/);
  assert.equal(parse("HTTP/1.0 500 Error\r\n\r\nwhy"), null);
  assert.equal(parse("HTTP/1.0 500 Error\r\n\r\nwhy", true)?.keep, false);
});
