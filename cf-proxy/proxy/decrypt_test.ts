// Decryption of mega files, compared with Node's AES.
import assert from "node:assert/strict";
import { createCipheriv } from "node:crypto";
import { encodeBase64Url } from "../../core/base64url.ts";
import {
  bytesOf,
  media,
  pattern,
  type ProxyFixture,
  proxyTest,
  send,
  startProxyFixture,
} from "../../dev/testing/proxy_fixture.ts";

const KEY = Uint8Array.from({ length: 32 }, (_, i) => i);
const AES = Uint8Array.from({ length: 16 }, (_, i) => KEY[i]! ^ KEY[i + 16]!);
const PLAIN = pattern(7_000_007);
const sign = { context: { megaKey: encodeBase64Url(KEY) } };

/** mega's cipher, starting at block number `block`. */
function encrypt(plain: Uint8Array, block = 0n): Uint8Array {
  const counter = new Uint8Array(16);
  counter.set(KEY.subarray(16, 24));
  new DataView(counter.buffer).setBigUint64(8, block);
  const cipher = createCipheriv("aes-128-ctr", AES, counter);
  return new Uint8Array(cipher.update(plain));
}

async function range(proxy: ProxyFixture, text: string): Promise<Uint8Array> {
  const response = await proxy.get("/dl/abc", { sign, headers: { range: text } });
  assert.equal(response.status, 206, text);
  const body = await bytesOf(response);
  assert.equal(response.headers.get("content-length"), String(body.length));
  return body;
}

proxyTest("mega: any range → decrypted, and no response has the key", async (proxy) => {
  proxy.route("/dl/", media(encrypt(PLAIN), { type: "application/octet-stream" }));
  const whole = await proxy.get("/dl/abc", { sign });
  assert.equal(whole.status, 200);
  assert.equal(whole.headers.get("content-type"), "video/mp4");
  assert.equal(whole.headers.get("content-length"), String(PLAIN.length));
  assert.deepEqual(await bytesOf(whole), PLAIN);
  for (
    const [start, end] of [[0, 0], [1, 1], [15, 16], [16, 31], [17, 4000], [1_048_575, 2_097_155], [
      6_999_990,
      7_000_006,
    ], [5, 7_000_006]] as const
  ) {
    assert.deepEqual(await range(proxy, `bytes=${start}-${end}`), PLAIN.slice(start, end + 1), `${start}-${end}`);
  }
  const head = await proxy.get("/dl/abc", { sign, method: "HEAD" });
  assert.equal(head.headers.get("content-length"), String(PLAIN.length));
  const link = await proxy.link("/dl/abc", sign);
  assert.ok(!link.includes(encodeBase64Url(KEY)));
  for (const { target, headers } of proxy.seen) assert.ok(!`${target}${[...headers]}`.includes(encodeBase64Url(KEY)));
});

proxyTest(
  "mega: suffix range → decrypted; two ranges → the whole file",
  async (proxy) => {
    proxy.route("/dl/", media(encrypt(PLAIN)));
    for (const length of [1, 7, 16, 100_001]) {
      assert.deepEqual(
        await range(proxy, `bytes=-${length}`),
        PLAIN.slice(-length),
      );
    }
    const two = await proxy.get("/dl/abc", { sign, headers: { range: "bytes=0-1,5-6" } });
    assert.equal(two.status, 200);
    assert.deepEqual(await bytesOf(two), PLAIN);
  },
);

proxyTest("mega: beyond block 2^32 → 64-bit counter", async (proxy) => {
  const block = 2n ** 32n - 2n;
  const offset = Number(block) * 16 + 5;
  const part = pattern(200);
  const padded = new Uint8Array(205);
  padded.set(part, 5);
  const cipher = encrypt(padded, block).subarray(5);
  proxy.route(
    "/dl/",
    (_request, response) =>
      send(response, 206, { "content-range": `bytes ${offset}-${offset + 199}/${offset + 1000}` }, cipher),
  );
  assert.deepEqual(await range(proxy, `bytes=${offset}-${offset + 199}`), part);
});

proxyTest("mega: 509 (quota) → unchanged, with Retry-After", async (proxy) => {
  proxy.route(
    "/dl/",
    (_request, response) => send(response, 509, { "content-type": "text/plain", "retry-after": "3600" }, "over quota"),
  );
  const response = await proxy.get("/dl/abc", { sign });
  assert.equal(response.status, 509);
  assert.equal(response.headers.get("retry-after"), "3600");
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.equal(await response.text(), "over quota");
});

Deno.test("mega: body cut short → the connection is closed", async () => {
  await using proxy = await startProxyFixture();
  proxy.route("/dl/", (_request, response) => {
    response.writeHead(200, { "content-length": String(PLAIN.length) });
    response.write(encrypt(PLAIN).subarray(0, 1_500_000), () => response.destroy());
  });
  const response = await proxy.get("/dl/abc", { sign });
  assert.equal(response.status, 200);
  await assert.rejects(response.arrayBuffer());
});

Deno.test("mega: source stalls → first bytes served; disconnect closes it", async () => {
  await using proxy = await startProxyFixture();
  const closed = Promise.withResolvers<void>();
  proxy.route("/dl/", (_request, response) => {
    response.writeHead(200, { "content-type": "video/mp4", "content-length": String(PLAIN.length) });
    response.write(encrypt(PLAIN.subarray(0, 100_000)));
    response.on("close", () => closed.resolve());
  });
  const response = await proxy.get("/dl/abc", { sign });
  const reader = response.body!.getReader();
  const first = await reader.read();
  assert.deepEqual(first.value, PLAIN.slice(0, first.value!.length));
  await reader.cancel();
  await closed.promise;
});
