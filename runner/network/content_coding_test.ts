import assert from "node:assert/strict";
import * as zlib from "node:zlib";
import { unpackResponse } from "./content_coding.ts";

const URL_ = "https://cdn.test/m.m3u8?token=secret";
const TEXT = "#EXTM3U\n" + "#EXTINF:4,\nsegment.ts\n".repeat(5000);
const PLAIN = new TextEncoder().encode(TEXT);

const PACK: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array<ArrayBuffer>>> = {
  gzip: (bytes) => new Uint8Array(zlib.gzipSync(bytes)),
  "x-gzip": (bytes) => new Uint8Array(zlib.gzipSync(bytes)),
  deflate: (bytes) => new Uint8Array(zlib.deflateSync(bytes)),
  br: (bytes) => new Uint8Array(zlib.brotliCompressSync(bytes)),
  zstd: (bytes) => new Uint8Array(zlib.zstdCompressSync(bytes)),
};

/** Sends the body in chunks of `step` bytes. */
function respond(coding: string, bytes: Uint8Array<ArrayBuffer>, step = 1000): Response {
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += step) yield await Promise.resolve(bytes.slice(at, at + step));
  }
  const headers = { "content-encoding": coding, "content-length": String(bytes.length) };
  return new Response(ReadableStream.from(chunks()), { headers });
}

for (const [coding, pack] of Object.entries(PACK)) {
  Deno.test(`unpackResponse: ${coding} in chunks of any length → the text`, async () => {
    for (const step of [1, 1000, 1e6]) {
      const response = unpackResponse(respond(coding, pack(PLAIN), step), URL_);
      assert.equal(response.headers.get("content-length"), null);
      assert.equal(await response.text(), TEXT);
    }
    assert.equal(await unpackResponse(respond(coding.toUpperCase(), pack(PLAIN)), URL_).text(), TEXT);
  });

  // Deno's other decoders report no early end.
  if (coding !== "br" && coding !== "zstd") {
    Deno.test(`unpackResponse: ${coding}, cut → network, named`, async () => {
      const cut = pack(PLAIN).slice(0, -12);
      await assert.rejects(unpackResponse(respond(coding, cut), URL_).text(), (error) => {
        assert.equal((error as { code?: string }).code, "network", String(error));
        assert.match((error as Error).message, new RegExp(coding));
        return true;
      });
    });
  }

  Deno.test(`unpackResponse: ${coding} of a plain body → unsupported, names the coding`, async () => {
    await assert.rejects(unpackResponse(respond(coding, PLAIN.slice()), URL_).text(), {
      code: "unsupported",
      message: new RegExp(`cannot be unpacked: it is not .*content-encoding: ${coding}`),
    });
  });
}

Deno.test("unpackResponse: raw deflate, two codings, no coding → the text", async () => {
  const raw = new Uint8Array(zlib.deflateRawSync(PLAIN));
  assert.equal(await unpackResponse(respond("deflate", raw), URL_).text(), TEXT);
  const twice = PACK.br!(PACK.gzip!(PLAIN));
  assert.equal(await unpackResponse(respond("gzip, br", twice), URL_).text(), TEXT);
  for (const coding of ["", "identity", "none"]) {
    assert.equal(await unpackResponse(respond(coding, PLAIN.slice()), URL_).text(), TEXT);
  }
});

Deno.test("unpackResponse: an unknown coding → unsupported, no secret shown", () => {
  for (const coding of ["compress", "dcb", "gzip,gzip,gzip,gzip", "x".repeat(500)]) {
    assert.throws(() => unpackResponse(respond(coding, PLAIN.slice()), URL_), (error) => {
      const { code, message } = error as { code: string; message: string };
      assert.equal(code, "unsupported");
      assert.match(message, /compressed with .*cannot be unpacked/);
      assert.ok(!message.includes("secret") && message.length < 200, message);
      return true;
    });
  }
});

Deno.test("unpackResponse: cancelled early → the source is cancelled", async () => {
  const cancelled = Promise.withResolvers<void>();
  const packed = PACK.gzip!(crypto.getRandomValues(new Uint8Array(60_000)));
  const body = new ReadableStream({
    pull: (controller) => controller.enqueue(packed.slice()),
    cancel: () => cancelled.resolve(),
  });
  const reader = unpackResponse(new Response(body, { headers: { "content-encoding": "gzip" } }), URL_).body!
    .getReader();
  await reader.read();
  await reader.cancel();
  await cancelled.promise;
});

Deno.test("unpackResponse: the connection breaks → its error, not the coding's", async () => {
  const packed = PACK.gzip!(PLAIN);
  let sent = false;
  const body = new ReadableStream({
    pull(controller) {
      if (sent) return controller.error(new TypeError("connection reset"));
      sent = true;
      controller.enqueue(packed.slice(0, 100));
    },
  });
  const response = new Response(body, { headers: { "content-encoding": "gzip" } });
  await assert.rejects(unpackResponse(response, URL_).text(), { message: "connection reset" });
});
