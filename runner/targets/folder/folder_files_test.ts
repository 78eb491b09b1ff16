// The folder's files as cf-proxy requests them: token, ranges, archived files only.

import assert from "node:assert/strict";
import { serveFolderFile } from "./folder_files.ts";

const FILE = "/archive-1/1/ep1/0123abcd.mp4";
const TYPES = {
  ".poster.jpg": "image/jpeg",
  ".sprite.vtt": "text/vtt; charset=utf-8",
  ".s12.vtt": "text/vtt; charset=utf-8",
  ".m3u8": "application/vnd.apple.mpegurl",
  ".a0.m3u8": "application/vnd.apple.mpegurl",
  ".manifest": "application/json",
};

async function withFolder(
  test: (ask: (path: string, init?: RequestInit) => Promise<Response>, bytes: Uint8Array) => Promise<void>,
) {
  const root = await Deno.makeTempDir({ prefix: "folder-files-" });
  const bytes = Uint8Array.from({ length: 1000 }, (_, index) => index & 0xff);
  await Deno.mkdir(`${root}/archive-1/1/ep1`, { recursive: true });
  await Deno.writeFile(root + FILE, bytes);
  await Deno.writeTextFile(`${root}${FILE}.sha256`, "c0ffee\n");
  await Deno.writeTextFile(`${root}/secret.txt`, "secret");
  for (const ending of [...Object.keys(TYPES), ".txt", ".x.m3u8"]) {
    await Deno.writeTextFile(root + FILE.replace(".mp4", ending), ending);
  }
  const headers = { authorization: "Bearer token" };
  const ask = (path: string, init: RequestInit = {}) =>
    serveFolderFile(new Request("http://runner.test/archive" + path, { headers, ...init }), {
      root,
      token: "token",
      path,
    });
  try {
    await test(ask, bytes);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("GET: with the token → 200, complete, hash as ETag; HEAD → the same", () =>
  withFolder(async (ask, bytes) => {
    const response = await ask(FILE);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("etag"), '"c0ffee"');
    assert.equal(response.headers.get("content-type"), "video/mp4");
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), bytes);
    const head = await ask(FILE, { method: "HEAD" });
    assert.equal(head.headers.get("content-length"), "1000");
    assert.equal(head.body, null);
  }));

Deno.test("GET: range → 206; beyond the end → 416; other If-Range → 200", () =>
  withFolder(async (ask, bytes) => {
    for (
      const [range, start, end] of [["bytes=10-19", 10, 19], ["bytes=990-", 990, 999], ["bytes=-5", 995, 999]] as const
    ) {
      const part = await ask(FILE, { headers: { authorization: "Bearer token", range } });
      assert.equal(part.status, 206, range);
      assert.equal(part.headers.get("content-range"), `bytes ${start}-${end}/1000`);
      assert.deepEqual(new Uint8Array(await part.arrayBuffer()), bytes.slice(start, end + 1));
    }
    const beyond = await ask(FILE, { headers: { authorization: "Bearer token", range: "bytes=1000-" } });
    assert.equal(beyond.status, 416);
    assert.equal(beyond.headers.get("content-range"), "bytes */1000");
    const stale = await ask(FILE, {
      headers: { authorization: "Bearer token", range: "bytes=0-1", "if-range": '"older"' },
    });
    assert.equal(stale.status, 200);
    await stale.body?.cancel();
  }));

Deno.test("GET: without the token → 401; not an archived file → 404", () =>
  withFolder(async (ask) => {
    for (const authorization of ["", "Bearer wrong", "token"]) {
      assert.equal((await ask(FILE, { headers: { authorization } })).status, 401, authorization);
    }
    const hidden = [
      "/secret.txt",
      `${FILE}.sha256`,
      "/archive-1/1/ep1/../../../secret.txt",
      "/%2e%2e/secret.txt",
      "/none.mp4",
    ];
    for (const path of hidden) assert.equal((await ask(path)).status, 404, path);
  }));

Deno.test("GET: a sidecar of an archive → 200 with its type; other files → 404", () =>
  withFolder(async (ask) => {
    for (const [ending, type] of Object.entries(TYPES)) {
      const response = await ask(FILE.replace(".mp4", ending));
      assert.equal(response.status, 200, ending);
      assert.equal(response.headers.get("content-type"), type);
      assert.equal(await response.text(), ending);
    }
    for (const ending of [".txt", ".x.m3u8", ".poster.jpg/../../ep1/0123abcd.txt"]) {
      assert.equal((await ask(FILE.replace(".mp4", ending))).status, 404, ending);
    }
  }));
