import assert from "node:assert/strict";
import { type Line, startOrigin } from "./origin.ts";

const FAST: Line = { connectMs: 0, latencyMs: 0, bytesPerSecond: null };
const dir = new URL("../../../.keepstream/test-origin", import.meta.url).pathname;

Deno.test("origin: Range of a new URL → 206, the file's bytes, ETag for If-Range", async () => {
  await using origin = await startOrigin({ port: 0, dir, line: FAST });
  const mp4 = origin.media[0]!;
  const whole = await Deno.readFile(mp4.path);
  const response = await fetch(await mp4.url(), { headers: { range: "bytes=100-199" } });
  assert.equal(response.status, 206);
  assert.equal(response.headers.get("content-range"), `bytes 100-199/${whole.length}`);
  assert.deepEqual(await response.bytes(), whole.slice(100, 200));
  const other = await fetch(await mp4.url(), { headers: { range: "bytes=0-9", "if-range": '"other"' } });
  assert.equal(other.status, 200);
  assert.equal((await other.bytes()).length, whole.length);
});

Deno.test("origin: an expired, altered or missing token → 403", async () => {
  await using origin = await startOrigin({ port: 0, dir, line: FAST });
  const mp4 = origin.media[0]!;
  for (const url of [await mp4.url(-1), (await mp4.url()).slice(0, -1) + "x", `${origin.url}/files/episode.mp4`]) {
    const response = await fetch(url);
    assert.equal(response.status, 403, url);
    await response.body?.cancel();
  }
});

Deno.test("origin: HEAD, an unsatisfiable range, a path with .. → as specified", async () => {
  await using origin = await startOrigin({ port: 0, dir, line: FAST });
  const mp4 = origin.media[0]!;
  const head = await fetch(await mp4.url(), { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(Number(head.headers.get("content-length")), (await Deno.stat(mp4.path)).size);
  const far = await fetch(await mp4.url(), { headers: { range: "bytes=99999999999-" } });
  assert.equal(far.status, 416);
  await far.body?.cancel();
  const climb = await fetch(`${origin.url}/files/..%2f..%2fetc/passwd`);
  assert.equal(climb.status, 404);
  await climb.body?.cancel();
});

Deno.test("origin: HLS → encrypted, all its URLs work with the playlist's token", async () => {
  await using origin = await startOrigin({ port: 0, dir, line: FAST });
  const master = await origin.media[1]!.url();
  const text = await (await fetch(master)).text();
  assert.match(text, /TYPE=AUDIO.*LANGUAGE="en"/);
  const variant = new URL("480p/index.m3u8", master);
  const playlist = await (await fetch(variant)).text();
  assert.match(playlist, /#EXT-X-KEY:METHOD=AES-128,URI="\.\.\/key\.bin"/);
  assert.match(playlist, /#EXT-X-ENDLIST/);
  const key = await fetch(new URL("../key.bin", variant));
  assert.equal((await key.bytes()).length, 16);
  const segment = await fetch(new URL("s000.ts", variant));
  assert.equal(segment.status, 200);
  assert.notEqual((await segment.bytes())[0], 0x47, "encrypted, so no TS sync byte");
});

Deno.test("origin: /embed/mp4 → a player page with a working URL", async () => {
  await using origin = await startOrigin({ port: 0, dir, line: FAST });
  const page = await (await fetch(origin.media[0]!.embedUrl)).text();
  const url = JSON.parse(/file: ("[^"]+")/.exec(page)![1]!) as string;
  const response = await fetch(url, { headers: { range: "bytes=0-0" } });
  assert.equal(response.status, 206);
  await response.body?.cancel();
});
