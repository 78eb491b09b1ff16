// Conformance 1–21: HTTP as a player meets it.
import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { bytesOf, codeOf, media, pattern, proxyTest, send } from "../../dev/testing/proxy_fixture.ts";

const FILE = pattern(100_000);

proxyTest("GET with Range a-b, a- and -n → 206 with exactly those bytes", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  for (
    const [range, start, end] of [["bytes=10-19", 10, 19], ["bytes=99990-", 99_990, 99_999], [
      "bytes=-5",
      99_995,
      99_999,
    ]] as const
  ) {
    const answer = await proxy.get("/a.mp4", { headers: { range } });
    assert.equal(answer.status, 206);
    assert.equal(answer.headers.get("content-range"), `bytes ${start}-${end}/100000`);
    assert.equal(answer.headers.get("content-length"), String(end - start + 1));
    assert.deepEqual(await bytesOf(answer), FILE.slice(start, end + 1));
  }
});

proxyTest("GET with a Range beyond the end → 416 with */size and no media type", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const answer = await proxy.get("/a.mp4", { headers: { range: "bytes=200000-" } });
  assert.equal(answer.status, 416);
  assert.equal(answer.headers.get("content-range"), "bytes */100000");
  assert.equal(answer.headers.get("content-type"), null);
  await answer.body?.cancel();
});

proxyTest(
  "HEAD → HEAD upstream with the length kept, or one byte by GET where the source refuses HEAD",
  async (proxy) => {
    proxy.route("/a.mp4", media(FILE));
    const answer = await proxy.get("/a.mp4", { method: "HEAD" });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get("content-length"), "100000");
    assert.equal(await answer.text(), "");
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
  "If-Range that matches → 206, that does not → 200 whole, also where a cache upstream ignores it",
  async (proxy) => {
    proxy.route("/a.mp4", media(FILE));
    const range = "bytes=10-19";
    const match = await proxy.get("/a.mp4", { headers: { range, "if-range": '"v1"' } });
    assert.equal(match.status, 206);
    assert.equal((await bytesOf(match)).length, 10);
    const mismatch = await proxy.get("/a.mp4", { headers: { range, "if-range": '"v0"' } });
    assert.equal(mismatch.status, 200);
    assert.deepEqual(await bytesOf(mismatch), FILE);

    // A cache that answers every range from what it holds.
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
  const answer = await proxy.get("/a.mp4", { headers: { "if-none-match": '"v1"' } });
  assert.equal(answer.status, 304);
  assert.equal(answer.headers.get("etag"), '"v1"');
  assert.equal(await answer.text(), "");
  const other = await proxy.get("/a.mp4", { headers: { "if-none-match": '"v0"' } });
  assert.equal(other.status, 200);
  await other.body?.cancel();
});

proxyTest("If-Modified-Since with the current date → 304", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const headers = { "if-modified-since": "Thu, 01 Jan 2026 00:00:00 GMT" };
  const answer = await proxy.get("/a.mp4", { headers });
  assert.equal(answer.status, 304);
  assert.equal(await answer.text(), "");
});

proxyTest("GET with two ranges → the source's multipart answer as it is", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const answer = await proxy.get("/a.mp4", { headers: { range: "bytes=0-3,10-13" } });
  assert.equal(answer.status, 206);
  assert.match(answer.headers.get("content-type")!, /^multipart\/byteranges; boundary=B$/);
  const body = new TextDecoder("latin1").decode(await bytesOf(answer));
  assert.match(body, /bytes 0-3\/100000[\s\S]*bytes 10-13\/100000/);
});

proxyTest("bytes=NaN-NaN, 5-1, 1000 ranges and 2^64 → 416, and nothing is fetched", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const many = `bytes=${Array.from({ length: 1000 }, (_, i) => `${i}-${i}`).join(",")}`;
  for (const range of ["bytes=NaN-NaN", "bytes=5-1", many, "bytes=18446744073709551616-"]) {
    const answer = await proxy.get("/a.mp4", { headers: { range } });
    assert.equal(answer.status, 416, range.slice(0, 30));
    assert.equal(await codeOf(answer), "range_unusable");
  }
  assert.equal(proxy.seen.length, 0);
});

proxyTest("a source that ignores Range: its 200 stays a 200 with the whole body", async (proxy) => {
  proxy.route("/a.mp4", (_request, response) => send(response, 200, { "content-type": "video/mp4" }, FILE));
  const answer = await proxy.get("/a.mp4", { headers: { range: "bytes=10-19" } });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-range"), null);
  assert.deepEqual(await bytesOf(answer), FILE);
});

proxyTest("a 206 stays a 206 even when it holds everything, and nobody asked for a part", async (proxy) => {
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

proxyTest("a source that compresses anyway: the body arrives decoded and without a false length", async (proxy) => {
  const plain = new TextEncoder().encode("WEBVTT\n\n" + "00:01.000 --> 00:02.000\nhello\n\n".repeat(500));
  const zipped = gzipSync(plain);
  proxy.route("/s.vtt", (_request, response) =>
    send(
      response,
      200,
      { "content-type": "text/vtt", "content-encoding": "gzip", "accept-ranges": "bytes" },
      zipped,
    ));
  const answer = await proxy.get("/s.vtt");
  assert.equal(answer.status, 200);
  const length = answer.headers.get("content-length");
  assert.ok(length === null || Number(length) === plain.length, `content-length ${length}`);
  assert.equal(answer.headers.get("accept-ranges"), null);
  assert.deepEqual(await bytesOf(answer), plain);
  assert.equal(proxy.seen[0]!.headers.get("accept-encoding"), "identity");
});

proxyTest("404, 403, 429 and 503 keep status, type and Retry-After, and get CORS and no-store", async (proxy) => {
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
    const answer = await proxy.get(`/${status}.mp4`);
    assert.equal(answer.status, status);
    assert.equal(answer.headers.get("content-type"), "application/json");
    assert.equal(answer.headers.get("retry-after"), "7");
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
    assert.equal(answer.headers.get("cache-control"), "no-store");
    assert.equal(await answer.text(), '{"e":1}');
  }
});

proxyTest("POST, PUT and DELETE → 405 with Allow, and nothing is fetched", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  for (const method of ["POST", "PUT", "DELETE"]) {
    const answer = await proxy.get("/a.mp4", { method });
    assert.equal(answer.status, 405);
    assert.equal(answer.headers.get("allow"), "GET, HEAD, OPTIONS");
    assert.equal(answer.headers.get("access-control-allow-origin"), "*");
    assert.equal(await codeOf(answer), "method_not_allowed");
  }
  assert.equal(proxy.seen.length, 0);
});

proxyTest("OPTIONS → preflight allows Range, If-Range and If-None-Match", async (proxy) => {
  const answer = await proxy.get("/a.mp4", {
    method: "OPTIONS",
    headers: {
      origin: "https://page.test",
      "access-control-request-method": "GET",
      "access-control-request-headers": "range",
    },
  });
  assert.equal(answer.status, 204);
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  const allowed = answer.headers.get("access-control-allow-headers")!.toLowerCase().split(/,\s*/);
  for (const name of ["range", "if-range", "if-none-match"]) assert.ok(allowed.includes(name), name);
  assert.equal(proxy.seen.length, 0);
});

proxyTest("a page may read ETag, Content-Range, Content-Length and Accept-Ranges", async (proxy) => {
  proxy.route("/a.mp4", media(FILE));
  const answer = await proxy.get("/a.mp4", { headers: { range: "bytes=0-1" } });
  const exposed = answer.headers.get("access-control-expose-headers")!.toLowerCase().split(/,\s*/);
  for (const name of ["etag", "content-range", "content-length", "accept-ranges"]) {
    assert.ok(exposed.includes(name), name);
    assert.ok(answer.headers.has(name), name);
  }
  await answer.body?.cancel();
});

proxyTest("Content-Disposition attachment → inline", async (proxy) => {
  proxy.route("/a.mp4", media(FILE, { headers: { "content-disposition": 'attachment; filename="a.mp4"' } }));
  const answer = await proxy.get("/a.mp4");
  assert.equal(answer.headers.get("content-disposition"), "inline");
  await answer.body?.cancel();
});

proxyTest("Set-Cookie, hop-by-hop and unknown headers do not come through, in either direction", async (proxy) => {
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
  const answer = await proxy.get("/a.mp4", {
    headers: {
      cookie: "secret=1",
      authorization: "Bearer x",
      "x-forwarded-for": "1.2.3.4",
      referer: "https://page.test/",
    },
  });
  assert.equal(answer.status, 200);
  for (const name of ["set-cookie", "keep-alive", "x-powered-by", "alt-svc", "server", "link", "refresh"]) {
    assert
      .equal(answer.headers.get(name), null, name);
  }
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  await answer.body?.cancel();
  for (const name of ["cookie", "authorization", "x-forwarded-for", "referer"]) {
    assert.equal(
      proxy.seen[0]!.headers.get(name),
      null,
      name,
    );
  }
});

proxyTest("a viewer who leaves closes the connection to the source", async (proxy) => {
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
  const answer = await proxy.get("/a.mp4", { signal: controller.signal });
  const reader = answer.body!.getReader();
  await reader.read();
  controller.abort();
  await reader.read().catch(() => {});
  await closed;
});

proxyTest("a body slower than the time-out is not cut; an answer without headers in time is a 504", async (proxy) => {
  // Handed on by the runtime, and, without an ending, looked into by our own code first.
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
  "types of .vtt, .m4s, .aac and .key are kept; only a missing type or octet-stream is filled in by ending",
  async (proxy) => {
    const types = {
      vtt: "text/vtt; charset=utf-8",
      m4s: "video/iso.segment",
      aac: "audio/aac",
      key: "application/x-key",
    };
    for (const [ending, type] of Object.entries(types)) {
      proxy.route(`/kept.${ending}`, media(FILE, { type }));
      const answer = await proxy.get(`/kept.${ending}`);
      assert.equal(answer.headers.get("content-type"), type);
      await answer.body?.cancel();
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
      const answer = await proxy.get(`/filled.${ending}`);
      assert.equal(answer.headers.get("content-type"), type);
      await answer.body?.cancel();
    }
  },
);
