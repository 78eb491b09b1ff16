// The files beside an archive, in workerd: playlists, subtitles and pictures from two Hub accounts and a folder.
import assert from "node:assert/strict";
import { get as httpGet } from "node:http";
import { text as readAll } from "node:stream/consumers";
import { createGunzip } from "node:zlib";
import {
  bytesOf,
  codeOf,
  media,
  pattern,
  type ProxyFixture,
  send,
  startOrigin,
  startProxyFixture,
} from "../../dev/testing/proxy_fixture.ts";

const [MAIN, OTHER, FOREIGN] = ["a".repeat(32), "b".repeat(32), "c".repeat(32)];
const FILE = pattern(5000);
const FOLDER = "/archive/anime-5/5/ep1/";
const HUB = (account: string, revision = "main") => `/datasets/${account}/anime-5/resolve/${revision}/5/ep1/`;
const ARCHIVE = { archive: true } as const;
/** Directories of the folder's and of the Hub's URLs. */
const DEPTH: Readonly<Record<string, number>> = { archive: 4, datasets: 7 };

const master = (key: string, height: number) =>
  `#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aud",NAME="Japanese",LANGUAGE="ja",DEFAULT=YES,URI="${key}.a0.m3u8"\n` +
  `#EXT-X-STREAM-INF:BANDWIDTH=${height}000,CODECS="avc1.64001F,mp4a.40.2",RESOLUTION=160x${height},AUDIO="aud"\n${key}.v.m3u8\n`;
const list = (file: string) =>
  `#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:6\n#EXT-X-MAP:URI="${file}",BYTERANGE="100@40"\n` +
  [140, 1140, 2140].map((at) => `#EXTINF:6.0,\n#EXT-X-BYTERANGE:1000@${at}\n${file}\n`).join("") + "#EXT-X-ENDLIST\n";
const SUBTITLES = "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n日本 & <b>x</b>\n";

const BESIDE: Readonly<Record<string, string>> = {
  [`${MAIN}.m3u8`]: master(MAIN, 90),
  [`${MAIN}.v.m3u8`]: list(`${MAIN}.mp4`),
  [`${MAIN}.s0.vtt`]: SUBTITLES,
  [`${MAIN}.sprite.vtt`]: `WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n${MAIN}.sprite.jpg#xywh=0,0,160,90\n`,
  [`${OTHER}.m3u8`]: master(OTHER, 45),
  [`${OTHER}.v.m3u8`]: list(`${OTHER}.mp4`),
};

interface Storage extends AsyncDisposable {
  readonly proxy: ProxyFixture;
  /** Stores a file below a directory of one target; null: it is missing there. */
  put(directory: string, name: string, content: string | Uint8Array | null): void;
  /** A link as the API signs it, for one file of a directory. */
  get(path: string, init?: RequestInit, files?: readonly string[]): Promise<Response>;
}

async function startStorage(
  directories: readonly string[],
  vars: Record<string, string> = {},
  origins: readonly string[] = [],
): Promise<Storage> {
  const proxy = await startProxyFixture({
    origins,
    vars: (originUrl) => ({
      HF_ENDPOINT: originUrl,
      ...{
        HF_STORAGE_USERNAME_1: "alice",
        HF_TOKEN_STORAGE_1: "hf_a",
        HF_STORAGE_USERNAME_2: "bob",
        HF_TOKEN_STORAGE_2: "hf_b",
      },
      ...{ STORAGE_FOLDER_URL: `${originUrl}/archive`, STORAGE_FOLDER_TOKEN: "folder-token" },
      ...vars,
    }),
  });
  const typeOf = (name: string) =>
    name.endsWith(".jpg") ? "image/jpeg" : name.endsWith(".mp4") ? "video/mp4" : "text/plain";
  const put: Storage["put"] = (directory, name, content) => {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    const serve = bytes === null ? null : media(bytes, { type: typeOf(name), etag: `"${bytes.length}"` });
    proxy.route(directory + name, (request, response) => {
      if (!/^Bearer (hf_[ab]|folder-token)$/.test(request.headers.get("authorization") ?? "")) {
        return send(response, 401, { "content-type": "text/plain" }, "no");
      }
      return serve === null ? send(response, 404, {}) : serve(request, response);
    });
  };
  for (const directory of directories) {
    for (const [name, text] of Object.entries(BESIDE)) put(directory, name, text);
    for (const key of [MAIN, OTHER, FOREIGN]) put(directory, `${key}.mp4`, FILE);
    for (const ending of [".poster.jpg", ".sprite.jpg"]) put(directory, MAIN + ending, FILE.slice(0, 500));
    put(directory, `${MAIN}.manifest`, "sealed");
  }
  return {
    proxy,
    put,
    get(path, init, files = [MAIN]) {
      const scopeDirectories = DEPTH[path.split("/")[1]!]!;
      return proxy.get(path, { ...init, sign: { scopeDirectories, context: { ...ARCHIVE, files } } });
    },
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  };
}

const linksOf = (text: string) => [...text.matchAll(/http[^"\s#]*\/proxy\?[^"\s#]*/g)].map((match) => match[0]);

Deno.test("sidecars: playlists → links that play; subtitles unchanged; pictures", async () => {
  const directories = [FOLDER, HUB("alice"), HUB("bob", "0123abc")];
  await using storage = await startStorage(directories);
  for (const directory of directories) {
    const own = await storage.get(`${directory}${MAIN}.m3u8`);
    assert.equal(own.status, 200, directory);
    assert.equal(own.headers.get("content-type"), "application/vnd.apple.mpegurl");
    assert.equal(own.headers.get("access-control-allow-origin"), "*");
    const [audio, video] = linksOf(await own.text());
    assert.match(decodeURIComponent(audio!), /a\.a0\.m3u8$/);
    const response = await fetch(video!);
    assert.equal(response.status, 200);
    const playlist = await response.text();
    const links = new Set(linksOf(playlist));
    assert.equal(links.size, 1, "one link for the init section and every range");
    assert.equal(playlist.replace(/http[^"\s]*(?=a{32}\.mp4)/g, ""), list(`${MAIN}.mp4`));
    const range = await fetch([...links][0]!, { headers: { range: "bytes=140-1139" } });
    assert.equal(range.status, 206);
    assert.equal(range.headers.get("content-range"), `bytes 140-1139/${FILE.length}`);
    assert.match(range.headers.get("access-control-expose-headers")!, /Content-Range/);
    assert.deepEqual(await bytesOf(range), FILE.slice(140, 1140));

    const subtitles = await storage.get(`${directory}${MAIN}.s0.vtt`, { headers: { "sec-fetch-dest": "track" } });
    assert.equal(subtitles.headers.get("content-type"), "text/vtt; charset=utf-8");
    assert.equal(subtitles.headers.get("access-control-allow-origin"), "*");
    assert.equal(await subtitles.text(), SUBTITLES);
    const index = await (await storage.get(`${directory}${MAIN}.sprite.vtt`)).text();
    assert.match(index, /&url=\S+sprite\.jpg#xywh=0,0,160,90\n/);
    const sheet = await fetch(linksOf(index)[0]!, { headers: { range: "bytes=10-19" } });
    assert.deepEqual([sheet.status, sheet.headers.get("content-type")], [206, "image/jpeg"]);
    assert.deepEqual(await bytesOf(sheet), FILE.slice(10, 20));
    const poster = await storage.get(`${directory}${MAIN}.poster.jpg`);
    assert.deepEqual([poster.status, (await bytesOf(poster)).length], [200, 500]);
  }
});

Deno.test("sidecars: one account fails, all accounts fail → the next copy", async () => {
  await using storage = await startStorage([HUB("bob"), FOLDER]);
  const { proxy } = storage;
  for (const ending of [".m3u8", ".v.m3u8", ".s0.vtt", ".sprite.vtt", ".poster.jpg"]) {
    proxy.route(HUB("alice", "0123abc"), (_request, response) => send(response, 500, {}));
    const response = await storage.get(`${HUB("alice", "0123abc")}${MAIN}${ending}`);
    assert.equal(response.status, 200, ending);
    assert.ok((await bytesOf(response)).length > 40);
    assert.ok(proxy.seen.at(-1)!.target.startsWith(HUB("bob")), proxy.seen.at(-1)!.target);
  }
  await using fresh = await startStorage([FOLDER]);
  fresh.proxy.route("/datasets/", (_request, response) => send(response, 429, { "retry-after": "1" }));
  const response = await fresh.get(`${HUB("alice")}${MAIN}.v.m3u8`);
  assert.equal(response.status, 200);
  const [link] = linksOf(await response.text());
  assert.ok(decodeURIComponent(link!).includes(HUB("alice")), "the same link wherever the copy is");
  assert.deepEqual(await bytesOf(await fetch(link!, { headers: { range: "bytes=0-9" } })), FILE.slice(0, 10));
  fresh.put(FOLDER, `${MAIN}.s0.vtt`, null);
  const missing = await fresh.get(`${HUB("alice")}${MAIN}.s0.vtt`);
  assert.deepEqual([missing.status, await codeOf(missing)], [503, "archive_busy"]);
});

Deno.test("sidecars: playlist altered in storage → 502, nothing it names is read", async () => {
  const evil = "https://evil.test/x.mp4";
  const altered: [string, string][] = [
    [".v.m3u8", list(`${FOREIGN}.mp4`)],
    [".v.m3u8", list("../ep2/" + MAIN + ".mp4")],
    [".v.m3u8", list(`%2e%2e/ep2/${MAIN}.mp4`)],
    [".v.m3u8", list(evil)],
    [".v.m3u8", list(`${MAIN}.manifest`)],
    [".v.m3u8", list(`${MAIN}.mp4`).replace("#EXTINF", `#EXT-X-KEY:METHOD=AES-128,URI="${MAIN}.mp4"\n#EXTINF`)],
    [".m3u8", master(MAIN, 90).replace(`${MAIN}.a0.m3u8`, "/archive/private.m3u8")],
    [".m3u8", master(MAIN, 90).replace(`\n${MAIN}.v.m3u8`, `\n${evil}`)],
    [".sprite.vtt", BESIDE[`${MAIN}.sprite.vtt`]!.replace(`${MAIN}.sprite.jpg`, `${FOREIGN}.mp4`)],
    [".v.m3u8", "<html>moved</html>"],
    [".v.m3u8", `#EXTM3U\n${"#".repeat(4 * 1024 * 1024)}`],
  ];
  await using storage = await startStorage([FOLDER]);
  for (const [index, [ending, text]] of altered.entries()) {
    const path = `/archive/anime-5/5/ep${index + 10}/`;
    storage.put(path, MAIN + ending, text);
    const response = await storage.get(`${path}${MAIN}${ending}`);
    assert.equal(response.status, 502, text.slice(0, 200));
    assert.match(await codeOf(response), /^(archive_damaged|too_large)$/);
    assert.equal(storage.proxy.seen.length, index + 1);
    assert.equal(storage.proxy.seen[index]!.target, path + MAIN + ending);
  }
});

Deno.test("sidecars: a link's signature → no other archive, episode or file", async () => {
  await using storage = await startStorage([FOLDER, "/archive/anime-5/5/ep2/"]);
  const { proxy } = storage;
  const text = await (await storage.get(`${FOLDER}${MAIN}.v.m3u8`)).text();
  const child = new URL(linksOf(text)[0]!);
  const seen = proxy.seen.length;
  const named = async (path: string) => {
    child.searchParams.set("url", proxy.url + path);
    const response = await fetch(child);
    return [response.status, await codeOf(response)];
  };
  assert.deepEqual(await named(`${FOLDER}${FOREIGN}.mp4`), [403, "archive_refused"]);
  assert.deepEqual(await named(`${FOLDER}${OTHER}.m3u8`), [403, "archive_refused"]);
  assert.deepEqual(await named(`${FOLDER}${MAIN}.manifest`), [403, "archive_refused"]);
  assert.deepEqual(await named(`${FOLDER}notes.mp4`), [403, "archive_refused"]);
  assert.deepEqual(await named(`/archive/anime-5/5/ep2/${MAIN}.mp4`), [403, "bad_signature"]);
  assert.deepEqual(await named(`${FOLDER}%2e%2e/ep2/${MAIN}.mp4`), [403, "bad_signature"]);
  assert.deepEqual(await named(`${FOLDER}../ep2/${MAIN}.mp4`), [403, "bad_signature"]);
  assert.equal(proxy.seen.length, seen, "storage is not asked");
});

Deno.test("sidecars: link to the exact playlist → its links reach its archive only", async () => {
  await using storage = await startStorage([FOLDER]);
  const { proxy } = storage;
  const response = await proxy.get(`${FOLDER}${MAIN}.m3u8`, { sign: { context: ARCHIVE } });
  const video = linksOf(await response.text()).at(-1)!;
  const [file] = linksOf(await (await fetch(video)).text());
  assert.deepEqual(await bytesOf(await fetch(file!, { headers: { range: "bytes=0-3" } })), FILE.slice(0, 4));
  const other = new URL(file!);
  other.searchParams.set("url", `${proxy.url}${FOLDER}${FOREIGN}.mp4`);
  const refused = await fetch(other);
  assert.deepEqual([refused.status, await codeOf(refused)], [403, "archive_refused"]);
  const plain = await proxy.get(`${FOLDER}${MAIN}.m3u8`, { sign: { context: {} } });
  await plain.body?.cancel();
  assert.equal(plain.status, 401, "not an archive link: without credentials");
});

Deno.test("shared playlist: every resolution; a missing or damaged one left out", async () => {
  await using storage = await startStorage([FOLDER]);
  const read = async (path: string, files: readonly string[]) => {
    const response = await storage.get(path, {}, files);
    assert.equal(response.status, 200);
    return await response.text();
  };
  const heights = (text: string) => [...text.matchAll(/RESOLUTION=160x(\d+)/g)].map((match) => match[1]);
  const text = await read(`${FOLDER}${MAIN}.m3u8`, [MAIN, OTHER]);
  assert.deepEqual(heights(text), ["90", "45"]);
  assert.equal(text.match(/TYPE=AUDIO/g)?.length, 1);
  const segments = await (await fetch(linksOf(text).at(-1)!)).text();
  assert.match(decodeURIComponent(linksOf(segments)[0]!), new RegExp(`${OTHER}\\.mp4$`));
  assert.deepEqual(heights(await read(`${FOLDER}${OTHER}.m3u8`, [MAIN, OTHER])), ["45"], "its own playlist");
  assert.deepEqual(heights(await read(`${FOLDER}${MAIN}.m3u8`, [MAIN])), ["90"]);
  assert.deepEqual(heights(await read(`${FOLDER}${MAIN}.m3u8`, [MAIN, FOREIGN, OTHER])), ["90", "45"], "no such file");
  const damaged = [master(FOREIGN, 45), "#EXTM3U\nhttps://evil.test/v.m3u8\n", "<html>", master(MAIN, 45)];
  for (const [index, other] of damaged.entries()) {
    const path = `/archive/anime-5/5/ep${index + 10}/`;
    storage.put(path, `${MAIN}.m3u8`, BESIDE[`${MAIN}.m3u8`]!);
    storage.put(path, `${OTHER}.m3u8`, other);
    assert.deepEqual(heights(await read(`${path}${MAIN}.m3u8`, [MAIN, OTHER])), ["90"], other);
  }
});

Deno.test("sidecars: HEAD, Range and conditions → those of the rewritten text", async () => {
  await using storage = await startStorage([FOLDER]);
  const path = `${FOLDER}${MAIN}.v.m3u8`;
  const head = await storage.get(path, { method: "HEAD" });
  assert.deepEqual([head.status, await head.text()], [200, ""]);
  assert.equal(head.headers.get("content-type"), "application/vnd.apple.mpegurl");
  const headers = { range: "bytes=0-9", "if-none-match": "*", "if-range": '"x"' };
  const ranged = await storage.get(path, { headers });
  assert.equal(ranged.status, 200);
  assert.equal(linksOf(await ranged.text()).length, 4);
  const unusable = await storage.get(path, { headers: { range: "bytes=5-1" } });
  assert.deepEqual([unusable.status, await codeOf(unusable)], [416, "range_unusable"]);
  const missing = await storage.get(`${FOLDER}${MAIN}.a7.m3u8`, { method: "HEAD" });
  assert.equal(missing.status, 404);
});

Deno.test("sidecars: the same text again → one request to the storage", async () => {
  await using storage = await startStorage([FOLDER]);
  for (let i = 0; i < 3; i++) {
    for (const ending of [".m3u8", ".v.m3u8", ".s0.vtt"]) {
      await (await storage.get(`${FOLDER}${MAIN}${ending}`, {}, [MAIN, OTHER])).text();
    }
  }
  const counts = Map.groupBy(storage.proxy.seen, ({ target }) => target);
  assert.deepEqual([...counts.values()].map(({ length }) => length), [1, 1, 1, 1]);
});

Deno.test("sidecars: client accepts gzip → compressed; otherwise not", async () => {
  await using storage = await startStorage([FOLDER]);
  const link = await storage.proxy.link(`${FOLDER}${MAIN}.v.m3u8`, {
    scopeDirectories: 4,
    context: { ...ARCHIVE, files: [MAIN] },
  });
  const request = (acceptEncoding: string) =>
    new Promise<{ encoding: string | undefined; vary: string; body: string; bytes: number }>((resolve, reject) => {
      httpGet(link, { headers: { "accept-encoding": acceptEncoding } }, async (response) => {
        const encoding = response.headers["content-encoding"];
        let bytes = 0;
        response.on("data", (chunk) => bytes += chunk.length);
        const body = await readAll(encoding === "gzip" ? response.pipe(createGunzip()) : response);
        resolve({ encoding, vary: response.headers.vary!, body, bytes });
      }).on("error", reject);
    });
  const [gzip, plain] = [await request("deflate, GZIP;q=0.5"), await request("identity")];
  assert.deepEqual([gzip.encoding, plain.encoding, (await request("br, gzip;q=0")).encoding], [
    "gzip",
    undefined,
    undefined,
  ]);
  assert.equal(gzip.body, plain.body);
  assert.ok(gzip.bytes < plain.bytes / 2, `${gzip.bytes} of ${plain.bytes}`);
  assert.match(gzip.vary, /Accept-Encoding/);
});

Deno.test("sidecars in redirect mode: texts served, pictures redirected", async () => {
  await using cdn = await startOrigin();
  await using storage = await startStorage([], { REDIRECT_MODE: "on" }, [cdn.url]);
  storage.proxy.route("/datasets/", ({ target }, response) => {
    send(response, 302, { location: `${cdn.url}/${target.split("/").at(-1)}`, "x-linked-etag": '"sha"' });
  });
  cdn.route("/", ({ target }, response) => send(response, 200, {}, BESIDE[target.slice(1)] ?? "picture"));
  const text = await storage.get(`${HUB("alice")}${MAIN}.v.m3u8`);
  assert.deepEqual([text.status, linksOf(await text.text()).length], [200, 4]);
  const poster = await storage.get(`${HUB("alice")}${MAIN}.poster.jpg`);
  await poster.body?.cancel();
  assert.deepEqual([poster.status, poster.headers.get("location")], [302, `${cdn.url}/${MAIN}.poster.jpg`]);
});
