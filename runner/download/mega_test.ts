import assert from "node:assert/strict";
import { encryptLikeMega } from "../../dev/emulators/sites/mega_file.ts";
import { downloadMega, type MegaOptions } from "./mega.ts";
import { importMegaKey, macMatches, megaChunks } from "./mega_crypto.ts";

function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) crypto.getRandomValues(bytes.subarray(at, Math.min(at + 65536, length)));
  return bytes;
}

/** Serves ranges of `bytes`; `refuse` may respond first. */
function serve(
  bytes: Uint8Array<ArrayBuffer>,
  refuse: (start: number) => Response | null | Promise<Response | null> = () => null,
) {
  const asked: number[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.get("range") ?? "")!;
    asked.push(Number(from));
    return await refuse(Number(from)) ?? new Response(bytes.slice(Number(from), Number(to) + 1), { status: 206 });
  });
  return { url: `http://127.0.0.1:${server.addr.port}/dl`, asked, [Symbol.asyncDispose]: () => server.shutdown() };
}

async function options(dir: string, url: string, key: string): Promise<MegaOptions> {
  const origin = new URL(url).origin;
  return await Promise.resolve({
    fetch: (input: string, init?: RequestInit) => fetch(input, init),
    policy: { allowedOrigins: [origin] },
    headers: {},
    signal: new AbortController().signal,
    path: `${dir}/mega.bin`,
    key,
    connections: 4,
    resolveAgain: () => Promise.reject(new Error("not expected")),
    onProgress: () => {},
  });
}

Deno.test("downloadMega: encrypted by megajs → decrypted, MAC verified", async () => {
  const clear = randomBytes(11_000_003);
  const { cipher, key } = await encryptLikeMega(clear);
  const dir = await Deno.makeTempDir();
  await using host = serve(cipher);
  await downloadMega({ url: host.url, sizeBytes: clear.length }, await options(dir, host.url, key));
  assert.ok(Buffer.from(clear).equals(await Deno.readFile(`${dir}/mega.bin`)));
  assert.ok(host.asked.length > 2);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("downloadMega: one wrong byte → refused by the MAC, nothing on disk", async () => {
  const clear = randomBytes(5_000_000);
  const { cipher, key } = await encryptLikeMega(clear);
  cipher[4_321_000]! ^= 1;
  const dir = await Deno.makeTempDir();
  await using host = serve(cipher);
  await assert.rejects(
    downloadMega({ url: host.url, sizeBytes: clear.length }, await options(dir, host.url, key)),
    { code: "unsupported", message: /MAC/ },
  );
  assert.deepEqual([...Deno.readDirSync(dir)], []);
  await Deno.remove(dir, { recursive: true });
});

Deno.test("downloadMega: interrupted → resumes with the missing ranges", async () => {
  const clear = randomBytes(14_000_000);
  const { cipher, key } = await encryptLikeMega(clear);
  const dir = await Deno.makeTempDir();
  const some = Promise.withResolvers<void>();
  await using broken = serve(cipher, async (start) => {
    if (start < 8_000_000) return null;
    await some.promise;
    return new Response(null, { status: 410 });
  });
  await assert.rejects(async () =>
    downloadMega({ url: broken.url, sizeBytes: clear.length }, {
      ...await options(dir, broken.url, key),
      resolveAgain: () => Promise.reject(new Error("gone")),
      onProgress: (done) => done > 7_000_000 && some.resolve(),
    })
  );
  await using host = serve(cipher);
  await downloadMega({ url: host.url, sizeBytes: clear.length }, await options(dir, host.url, key));
  assert.ok(Math.min(...host.asked) > 0, "the first ranges were not requested again");
  assert.ok(Buffer.from(clear).equals(await Deno.readFile(`${dir}/mega.bin`)));
  await Deno.remove(dir, { recursive: true });
});

Deno.test("downloadMega: the URL expires → resolved again", async () => {
  const clear = randomBytes(9_000_000);
  const { cipher, key } = await encryptLikeMega(clear);
  const dir = await Deno.makeTempDir();
  await using host = serve(cipher);
  await using expired = serve(cipher, (start) => start > 0 ? new Response(null, { status: 403 }) : null);
  const both = { allowedOrigins: [new URL(host.url).origin, new URL(expired.url).origin] };
  await downloadMega({ url: expired.url, sizeBytes: clear.length }, {
    ...await options(dir, expired.url, key),
    policy: both,
    resolveAgain: () => Promise.resolve({ url: host.url, sizeBytes: clear.length }),
  });
  assert.ok(Buffer.from(clear).equals(await Deno.readFile(`${dir}/mega.bin`)));
  await Deno.remove(dir, { recursive: true });
});

Deno.test("importMegaKey, macMatches, megaChunks: invalid input → null, false", async () => {
  assert.equal(await importMegaKey("AAEC"), null);
  assert.equal(await importMegaKey("%%%"), null);
  const { key } = await encryptLikeMega(randomBytes(400_000));
  const imported = (await importMegaKey(key))!;
  assert.equal(await macMatches([new Uint8Array(16)], imported), false);
  const chunks = megaChunks(5_000_000);
  assert.deepEqual(chunks.slice(0, 3).map((chunk) => chunk.length), [131072, 262144, 393216]);
  assert.equal(Math.max(...chunks.map((chunk) => chunk.length)), 1048576);
  assert.equal(chunks.reduce((sum, chunk) => sum + chunk.length, 0), 5_000_000);
});
