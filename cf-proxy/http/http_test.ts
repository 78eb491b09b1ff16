// HTTP semantics that players depend on.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { bytesOf, codeOf, media, pattern, proxyTest, send } from "../../dev/testing/proxy_fixture.ts";

const FILE = pattern(100_000);

proxyTest("Range a-b, a- and -n → 206 with exactly those bytes", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  for (
    const [range, start, end] of [["bytes=10-19", 10, 19], ["bytes=99990-", 99_990, 99_999], [
      "bytes=-5",
      99_995,
      99_999,
    ]] as const
  ) {
    const response = await proxy.get("/a.mp4", { headers: { range } });
    assert.equal(response.status, 206);
    assert.equal(response.headers.get("content-range"), `bytes ${start}-${end}/100000`);
    assert.equal(response.headers.get("content-length"), String(end - start + 1));
    assert.deepEqual(await bytesOf(response), FILE.slice(start, end + 1));
  }
});

proxyTest("Range beyond the end → 416 with */size and no media type", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const response = await proxy.get("/a.mp4", { headers: { range: "bytes=200000-" } });
  assert.equal(response.status, 416);
  assert.equal(response.headers.get("content-range"), "bytes */100000");
  assert.equal(response.headers.get("content-type"), null);
  await response.body?.cancel();
});

proxyTest(
  "HEAD → HEAD upstream, or a GET of one byte if refused",
  async (proxy) => {
    proxy.route("/a.mp4", media(FILE));
    const response = await proxy.get("/a.mp4", { method: "HEAD" });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-length"), "100000");
    assert.equal(await response.text(), "");
    assert.deepEqual(proxy.seen.map((one) => one.method), ["HEAD"]);

    proxy.route("/b.mp4", (request, response) => {
      if (request.method === "HEAD") return send(response, 405, {});
      return media(FILE)(request, response);
    });
    const fallback = await proxy.get("/b.mp4", { method: "HEAD" });
    assert.equal(fallback.status, 200);
    assert.equal(fallback.headers.get("content-length"), "100000");
    assert.equal(fallback.headers.get("accept-ranges"), "bytes");
    assert.deepEqual(proxy.seen.slice(1).map((one) => [one.method, one.headers.get("range")]), [["HEAD", null], [
      "GET",
      "bytes=0-0",
    ]]);
  },
);

proxyTest(
  "If-Range matches → 206; differs, even if ignored → 200",
  async (proxy) => {
    proxy.route("/a.mp4", media(FILE));
    const range = "bytes=10-19";
    const match = await proxy.get("/a.mp4", { headers: { range, "if-range": '"v1"' } });
    assert.equal(match.status, 206);
    assert.equal((await bytesOf(match)).length, 10);
    const mismatch = await proxy.get("/a.mp4", { headers: { range, "if-range": '"v0"' } });
    assert.equal(mismatch.status, 200);
    assert.deepEqual(await bytesOf(mismatch), FILE);

    // A cache that ignores If-Range.
    proxy.route("/cached.mp4", (request, response) => {
      request.headers.delete("if-range");
      return media(FILE)(request, response);
    });
    const cached = await proxy.get("/cached.mp4", { headers: { range, "if-range": '"v0"' } });
    assert.equal(cached.status, 200);
    assert.deepEqual(await bytesOf(cached), FILE);
    const dated = await proxy.get("/cached.mp4", { headers: { range, "if-range": "Thu, 01 Jan 2026 00:00:00 GMT" } });
    assert.equal(dated.status, 206);
    await dated.body?.cancel();
  },
);

proxyTest("If-None-Match with the current tag → 304 without a body", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const response = await proxy.get("/a.mp4", { headers: { "if-none-match": '"v1"' } });
  assert.equal(response.status, 304);
  assert.equal(response.headers.get("etag"), '"v1"');
  assert.equal(await response.text(), "");
  const other = await proxy.get("/a.mp4", { headers: { "if-none-match": '"v0"' } });
  assert.equal(other.status, 200);
  await other.body?.cancel();
});

proxyTest("If-Modified-Since with the current date → 304", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const headers = { "if-modified-since": "Thu, 01 Jan 2026 00:00:00 GMT" };
  const response = await proxy.get("/a.mp4", { headers });
  assert.equal(response.status, 304);
  assert.equal(await response.text(), "");
});

proxyTest("two ranges → the source's multipart response unchanged", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const response = await proxy.get("/a.mp4", { headers: { range: "bytes=0-3,10-13" } });
  assert.equal(response.status, 206);
  assert.match(response.headers.get("content-type")!, /^multipart\/byteranges; boundary=B$/);
  const body = new TextDecoder("latin1").decode(await bytesOf(response));
  assert.match(body, /bytes 0-3\/100000[\s\S]*bytes 10-13\/100000/);
});

proxyTest("bytes=NaN-NaN, 5-1, 1000 ranges and 2^64 → 416, and nothing is fetched", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const many = `bytes=${Array.from({ length: 1000 }, (_, i) => `${i}-${i}`).join(",")}`;
  for (const range of ["bytes=NaN-NaN", "bytes=5-1", many, "bytes=18446744073709551616-"]) {
    const response = await proxy.get("/a.mp4", { headers: { range } });
    assert.equal(response.status, 416, range.slice(0, 30));
    assert.equal(await codeOf(response), "range_unusable");
  }
  assert.equal(proxy.seen.length, 0);
});

proxyTest("a source that ignores Range → 200 with the whole body", async (proxy) => {
  proxy.route("/a.mp4", (_request, response) => send(response, 200, { "content-type": "video/mp4" }, FILE));
  const response = await proxy.get("/a.mp4", { headers: { range: "bytes=10-19" } });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("content-range"), null);
  assert.deepEqual(await bytesOf(response), FILE);
});

proxyTest("206 of everything, or without a Range → stays 206", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const whole = await proxy.get("/a.mp4", { headers: { range: "bytes=0-" } });
  assert.equal(whole.status, 206);
  assert.equal(whole.headers.get("content-range"), "bytes 0-99999/100000");
  await whole.body?.cancel();
  proxy.route(
    "/odd.mp4",
    (_request, response) =>
      send(response, 206, { "content-type": "video/mp4", "content-range": "bytes 0-9/100000" }, FILE.slice(0, 10)),
  );
  const odd = await proxy.get("/odd.mp4");
  assert.equal(odd.status, 206);
  assert.equal(odd.headers.get("content-range"), "bytes 0-9/100000");
  await odd.body?.cancel();
});

proxyTest("compressed by the source → decoded, without a wrong length", async (proxy) => {
  const plain = new TextEncoder().encode("WEBVTT\n\n" + "00:01.000 --> 00:02.000\nhello\n\n".repeat(500));
  const zipped = gzipSync(plain);
  proxy.route("/s.vtt", (_request, response) =>
    send(
      response,
      200,
      { "content-type": "text/vtt", "content-encoding": "gzip", "accept-ranges": "bytes" },
      zipped,
    ));
  const response = await proxy.get("/s.vtt");
  assert.equal(response.status, 200);
  const length = response.headers.get("content-length");
  assert.ok(length === null || Number(length) === plain.length, `content-length ${length}`);
  assert.equal(response.headers.get("accept-ranges"), null);
  assert.deepEqual(await bytesOf(response), plain);
  assert.equal(proxy.seen[0]!.headers.get("accept-encoding"), "identity");
});

proxyTest("404, 403, 429, 503 → kept with Retry-After, CORS, no-store", async (proxy) => {
  for (const status of [404, 403, 429, 503]) {
    proxy.route(
      `/${status}.mp4`,
      (_request, response) =>
        send(response, status, {
          "content-type": "application/json",
          "retry-after": "7",
          "cache-control": "max-age=600",
        }, '{"e":1}'),
    );
    const response = await proxy.get(`/${status}.mp4`);
    assert.equal(response.status, status);
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.equal(response.headers.get("retry-after"), "7");
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(await response.text(), '{"e":1}');
  }
});

proxyTest("POST, PUT and DELETE → 405 with Allow, and nothing is fetched", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  for (const method of ["POST", "PUT", "DELETE"]) {
    const response = await proxy.get("/a.mp4", { method });
    assert.equal(response.status, 405);
    assert.equal(response.headers.get("allow"), "GET, HEAD, OPTIONS");
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    assert.equal(await codeOf(response), "method_not_allowed");
  }
  assert.equal(proxy.seen.length, 0);
});

proxyTest("OPTIONS → allows Range, If-Range and If-None-Match", async (proxy) => {
  const response = await proxy.get("/a.mp4", {
    method: "OPTIONS",
    headers: {
      origin: "https://page.test",
      "access-control-request-method": "GET",
      "access-control-request-headers": "range",
    },
  });
  assert.equal(response.status, 204);
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  const allowed = response.headers.get("access-control-allow-headers")!.toLowerCase().split(/,\s*/);
  for (const name of ["range", "if-range", "if-none-match"]) assert.ok(allowed.includes(name), name);
  assert.equal(proxy.seen.length, 0);
});

proxyTest("cross-origin page → may read ETag, range and length headers", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const response = await proxy.get("/a.mp4", { headers: { range: "bytes=0-1" } });
  const exposed = response.headers.get("access-control-expose-headers")!.toLowerCase().split(/,\s*/);
  for (const name of ["etag", "content-range", "content-length", "accept-ranges"]) {
    assert.ok(exposed.includes(name), name);
    assert.ok(response.headers.has(name), name);
  }
  await response.body?.cancel();
});

proxyTest("Content-Disposition attachment → inline", async (proxy) => {
  proxy.route("/a.mp4", media(FILE, { headers: { "content-disposition": 'attachment; filename="a.mp4"' } }));
  const response = await proxy.get("/a.mp4");
  assert.equal(response.headers.get("content-disposition"), "inline");
  await response.body?.cancel();
});

proxyTest("Set-Cookie, hop-by-hop, unknown headers → dropped both ways", async (proxy) => {
  const headers = {
    "set-cookie": "a=b",
    "keep-alive": "timeout=5",
    "x-powered-by": "php",
    "access-control-allow-origin": "https://x.test",
    "alt-svc": "h3",
    "server": "x",
    "link": "</>; rel=x",
    "refresh": "0; url=/",
  };
  proxy.route("/a.mp4", media(FILE, { headers }));
  const response = await proxy.get("/a.mp4", {
    headers: {
      cookie: "secret=1",
      authorization: "Bearer x",
      "x-forwarded-for": "1.2.3.4",
      referer: "https://page.test/",
    },
  });
  assert.equal(response.status, 200);
  for (const name of ["set-cookie", "keep-alive", "x-powered-by", "alt-svc", "server", "link", "refresh"]) {
    assert
      .equal(response.headers.get(name), null, name);
  }
  assert.equal(response.headers.get("access-control-allow-origin"), "*");
  await response.body?.cancel();
  for (const name of ["cookie", "authorization", "x-forwarded-for", "referer"]) {
    assert.equal(
      proxy.seen[0]!.headers.get(name),
      null,
      name,
    );
  }
});

proxyTest("viewer disconnects → the source's connection is closed", async (proxy) => {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  proxy.route("/a.mp4", (_request, response) => {
    response.on("close", resolve);
    response.writeHead(200, { "content-type": "video/mp4" });
    const feed = () => {
      if (response.destroyed) return;
      response.write(FILE, () => setTimeout(feed, 1));
    };
    feed();
  });
  const controller = new AbortController();
  const response = await proxy.get("/a.mp4", { signal: controller.signal });
  const reader = response.body!.getReader();
  await reader.read();
  controller.abort();
  await reader.read().catch(() => {});
  await closed;
});

proxyTest("slow body → not cut off; no headers in time → 504", async (proxy) => {
  // Streamed by the runtime; without an extension, sniffed by our own code first.
  for (const path of ["/slow.mp4", "/slow"]) {
    proxy.route(path, (_request, response) => {
      response.writeHead(200, { "content-type": "application/octet-stream", "content-length": "40" });
      let sent = 0;
      const timer = setInterval(() => {
        response.write(FILE.subarray(sent, sent += 5));
        if (sent < 40) return;
        clearInterval(timer);
        response.end();
      }, 100);
    });
    const slow = await proxy.get(path);
    assert.deepEqual(await bytesOf(slow), FILE.slice(0, 40));
  }
  proxy.route("/never.mp4", () => {});
  const never = await proxy.get("/never.mp4");
  assert.equal(never.status, 504);
  assert.equal(await codeOf(never), "source_timeout");
}, { vars: { HEADER_TIMEOUT_MS: "400" } });

proxyTest("0 bytes and more than 4 GiB keep their length", async (proxy) => {
  proxy.route("/empty.mp4", media(new Uint8Array()));
  const empty = await proxy.get("/empty.mp4");
  assert.equal(empty.status, 200);
  assert.equal(empty.headers.get("content-length"), "0");
  assert.equal((await bytesOf(empty)).length, 0);

  const size = 5 * 2 ** 30;
  proxy.route("/large.mp4", (request, response) => {
    if (request.method === "HEAD") {
      response.writeHead(200, { "content-type": "video/mp4", "content-length": String(size) });
      return void response.end();
    }
    if (request.headers.has("range")) {
      return send(response, 206, {
        "content-type": "video/mp4",
        "content-range": `bytes ${size - 4}-${size - 1}/${size}`,
      }, FILE.slice(0, 4));
    }
    response.writeHead(200, { "content-type": "video/mp4", "content-length": String(size) });
    response.write(FILE);
  });
  const head = await proxy.get("/large.mp4", { method: "HEAD" });
  assert.equal(head.headers.get("content-length"), String(size));
  const range = await proxy.get("/large.mp4", { headers: { range: `bytes=${size - 4}-` } });
  assert.equal(range.headers.get("content-range"), `bytes ${size - 4}-${size - 1}/${size}`);
  assert.equal((await bytesOf(range)).length, 4);
  const whole = await proxy.get("/large.mp4");
  assert.equal(whole.headers.get("content-length"), String(size));
  await whole.body?.cancel();
});

proxyTest(
  "media types → kept; missing or octet-stream → by extension",
  async (proxy) => {
    const types = {
      vtt: "text/vtt; charset=utf-8",
      m4s: "video/iso.segment",
      aac: "audio/aac",
      key: "application/x-key",
    };
    for (const [ending, type] of Object.entries(types)) {
      proxy.route(`/kept.${ending}`, media(FILE, { type }));
      const response = await proxy.get(`/kept.${ending}`);
      assert.equal(response.headers.get("content-type"), type);
      await response.body?.cancel();
    }
    const filled = {
      vtt: "text/vtt",
      m4s: "video/iso.segment",
      aac: "audio/aac",
      key: "application/octet-stream",
      ts: "video/mp2t",
      mp4: "video/mp4",
    };
    for (const [ending, type] of Object.entries(filled)) {
      proxy.route(`/filled.${ending}`, media(FILE, { type: "application/octet-stream" }));
      const response = await proxy.get(`/filled.${ending}`);
      assert.equal(response.headers.get("content-type"), type);
      await response.body?.cancel();
    }
  },
);
