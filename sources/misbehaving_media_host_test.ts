// The misbehaving media host: how each of its items is resolved. The runner's part: runner/job/misbehaving_media_host_test.ts.
import assert from "node:assert/strict";
import {
  MEDIA_FILES,
  MEDIA_PLAYLISTS,
  type MediaClip,
  misbehavingMediaHost,
} from "../dev/testing/misbehaving_media_host.ts";
import { createSites, htmlResponse, type Site } from "../dev/emulators/sites/sites.ts";
import { resolveServer } from "./resolvers/index.ts";
import { SourceError } from "./source_error.ts";

const bytes = new Uint8Array(1000).fill(71);
const CLIP: MediaClip = {
  mp4: bytes,
  ts: [bytes, bytes],
  init: bytes,
  m4s: [bytes],
  videoTs: [bytes],
  audioTs: [bytes],
};
const host = await misbehavingMediaHost(CLIP);

/** The host, with the two ways to it: URLs without an extension, and a player's page. */
const site: Site = (request, url) => {
  if (url.pathname.startsWith("/watch/")) return host(`/${url.pathname.slice(7)}.mp4`, request);
  if (url.pathname !== "/player") return host(url.pathname, request);
  return htmlResponse(`<script>p.setup({file: ${JSON.stringify(url.searchParams.get("of"))}})</script>`);
};

function resolve(path: string) {
  const { fetch, requests } = createSites({ "media.test": site });
  const tools = { fetch, signal: new AbortController().signal, now: Date.now };
  return { resolved: resolveServer({ embedUrl: `https://media.test${path}` }, tools), requests };
}

for (const [item, path] of Object.entries({ ...MEDIA_FILES, ...MEDIA_PLAYLISTS })) {
  Deno.test(`misbehaving host, ${item}: ${path} → by its extension, no request`, async () => {
    const { resolved, requests } = resolve(path);
    const { url, kind } = await resolved;
    assert.deepEqual([url, kind], [`https://media.test${path}`, path.includes(".m3u8") ? "hls" : "mp4"]);
    assert.deepEqual(requests, []);
  });

  Deno.test(`misbehaving host, ${item}: ${path} in a player's page → Referer`, async () => {
    const { url, headers } = await resolve(`/player?of=${encodeURIComponent(path)}`).resolved;
    assert.deepEqual([url, headers.referer], [`https://media.test${path}`, "https://media.test/"]);
  });
}

for (const item of ["range", "no-head", "no-length", "drip", "cut"]) {
  for (const path of [`/watch/${item}`, `/player?of=${encodeURIComponent(`/watch/${item}`)}`]) {
    Deno.test(`misbehaving host, ${item}: ${path} without extension → by its type`, async () => {
      const { resolved, requests } = resolve(path);
      const { url, kind } = await resolved;
      assert.deepEqual([url, kind], [`https://media.test/watch/${item}`, "mp4"]);
      assert.ok(requests.every((one) => one.startsWith("GET ")), requests.join());
    });
  }
}

const REFUSED = { "html": "unsupported", "to-private": "policy_denied", "loop": "http_5xx" } as const;

for (const [item, reason] of Object.entries(REFUSED)) {
  Deno.test(`misbehaving host, ${item}: embed URL → ${reason}`, async () => {
    const { resolved, requests } = resolve(`/watch/${item}`);
    await assert.rejects(resolved, (error) => error instanceof SourceError && error.reason === reason);
    assert.ok(requests.length <= 6 && requests.every((one) => one.includes("//media.test/")), requests.join());
  });
}

Deno.test("misbehaving host: range, HEAD, query, path cases → documented status", async () => {
  const ask = (path: string, init?: RequestInit) => host(path, new Request(`https://media.test${path}`, init));
  const part = ask(MEDIA_FILES.range, { headers: { range: "bytes=10-19" } });
  assert.deepEqual([part.status, part.headers.get("content-range")], [206, "bytes 10-19/1000"]);
  assert.equal((await part.bytes()).length, 10);
  assert.equal(ask(MEDIA_FILES.range).status, 200);
  const beyond = ask(MEDIA_FILES.range, { headers: { range: "bytes=1000-" } });
  assert.deepEqual([beyond.status, beyond.headers.get("content-range")], [416, "bytes */1000"]);
  assert.equal(ask(MEDIA_FILES.noHead, { method: "HEAD" }).status, 405);
  assert.equal(ask(MEDIA_FILES.noLength).headers.get("content-length"), null);
  assert.equal(ask("/query/s0.ts").status, 403);
  assert.equal(ask("/100%25/s0.ts").status, 200);
  assert.equal(ask("/100%/s0.ts").status, 404);
  await assert.rejects(ask(MEDIA_FILES.cut).bytes(), /cut/);
  assert.ok(!(await ask(MEDIA_PLAYLISTS.noEnd).text()).includes("ENDLIST"));
});
