import assert from "node:assert/strict";
import { createSites, hangs, htmlResponse, pages, type Site } from "../../dev/emulators/sites/sites.ts";
import { SourceError } from "../source_error.ts";
import { resolveServer } from "./index.ts";

const PAGE_URL = "https://a.test/e";
const MEDIA = "https://cdn.test/v/master.m3u8";
const refusedAs = (reason: string) => (error: unknown) => error instanceof SourceError && error.reason === reason;
const media = () => Response.json({ url: MEDIA });

function resolve(
  script: string,
  site: Readonly<Record<string, string | Site>>,
  more: Readonly<Record<string, Site>> = {},
) {
  const page = script.startsWith("<") ? script : `<script>${script}</script>`;
  const { fetch, requests } = createSites({ "a.test": pages({ "/e": page, ...site }), ...more });
  const result = resolveServer({ embedUrl: PAGE_URL }, {
    fetch,
    signal: new AbortController().signal,
    now: () => 1_700_000_000_000,
  });
  return { result, requests };
}

Deno.test("json-api: POST to another site → not made; GET → made", async () => {
  const post = resolve(`fetch("https://other.test/api", { method: "POST" })`, {}, { "other.test": media });
  await assert.rejects(post.result, refusedAs("unsupported"));
  assert.deepEqual(post.requests, [`GET ${PAGE_URL}`]);
  const get = resolve(`fetch("https://other.test/api?id=7")`, {}, { "other.test": media });
  assert.equal((await get.result).url, MEDIA);
});

Deno.test("json-api: cookies and tokens of the page → its origin only", async () => {
  let received: Headers | null = null;
  const site: Site = () =>
    new Response(
      `<meta name="csrf-token" content="t1"><script>fetch("https://api.a.test/v", { method: "POST" })</script>`,
      {
        headers: { "content-type": "text/html", "set-cookie": "session=s1" },
      },
    );
  const api: Site = (request) => {
    received = request.headers;
    return media();
  };
  const { fetch } = createSites({ "a.test": site, "api.a.test": api });
  const tools = { fetch, signal: new AbortController().signal, now: Date.now };
  assert.equal((await resolveServer({ embedUrl: PAGE_URL }, tools)).url, MEDIA);
  assert.deepEqual(["cookie", "x-csrf-token", "referer", "origin"].map((name) => received!.get(name)), [
    null,
    null,
    "https://a.test/",
    "https://a.test",
  ]);
});

Deno.test("json-api: redirected to another origin → without credentials", async () => {
  let received: Headers | null = null;
  const script = `fetch("/api", { headers: { Authorization: "Bearer x", "X-Kind": "hls" } })`;
  const { result } = resolve(script, {
    "/api": () => new Response(null, { status: 302, headers: { location: "https://cdn.test/api" } }),
  }, {
    "cdn.test": (request) => {
      received = request.headers;
      return media();
    },
  });
  assert.equal((await result).url, MEDIA);
  assert.deepEqual(["authorization", "x-kind"].map((name) => received!.get(name)), [null, "hls"]);
});

Deno.test("json-api: headers that the client sets, line breaks → not sent", async () => {
  let received: Headers | null = null;
  const headers =
    `{ "Host": "evil.test", "Cookie": "a=b", "X-Forwarded-For": "1", "X-Bad": "a\\r\\nb", "X-Good": "1" }`;
  const { result } = resolve(`fetch("/api", { headers: ${headers} })`, {
    "/api": (request) => {
      received = request.headers;
      return media();
    },
  });
  assert.equal((await result).url, MEDIA);
  assert.deepEqual(["cookie", "x-forwarded-for", "x-bad", "x-good"].map((name) => received!.get(name)), [
    null,
    null,
    null,
    "1",
  ]);
});

Deno.test("json-api: a hundred requests → four are made", async () => {
  const script = Array.from({ length: 100 }, (_, index) => `fetch("/api/${index}")`).join(";");
  const { result, requests } = resolve(script, {});
  await assert.rejects(result, refusedAs("unsupported"));
  assert.equal(requests.length, 5);
});

Deno.test("json-api: steps beyond the time of an embed page → timeout", async () => {
  const script = `fetch("/a"); fetch("/b"); fetch("/c")`;
  const { fetch, requests } = createSites({
    "a.test": pages({ "/e": `<script>${script}</script>`, "/a": hangs, "/b": hangs }),
  });
  const tools = { fetch, signal: new AbortController().signal, now: Date.now, embedTimeoutMs: 50 };
  await assert.rejects(resolveServer({ embedUrl: PAGE_URL }, tools), refusedAs("timeout"));
  assert.deepEqual(requests.slice(0, 2), [`GET ${PAGE_URL}`, "GET https://a.test/a"]);
  assert.ok(!requests.includes("GET https://a.test/b"));
});

Deno.test("json-api: counts, logs, comments, logins → not requested", async () => {
  const others = ["/log", "/api/stats", "/views/7", "/track?e=play", "/comments/7", "/login", "/ads/next"];
  const { result, requests } = resolve(`${others.map((url) => `fetch("${url}")`).join(";")};fetch("/source")`, {
    "/source": media,
  });
  assert.equal((await result).url, MEDIA);
  assert.deepEqual(requests, [`GET ${PAGE_URL}`, "GET https://a.test/source"]);
});

Deno.test("json-api: text response with a token added by the script → the URL", async () => {
  const script =
    `function suffix() { for (var a = "", i = 0; i < 10; i++) a += chars.charAt(i); return a + "?token=t1&expiry=" + Date.now() }
    $.get("/pass/7/t1", function (data) { player.src({ type: "video/mp4", src: data + suffix() }) })`;
  const { result } = resolve(script, { "/pass/7/t1": () => new Response("https://cdn.test/v/7~") });
  const { url, kind } = await result;
  assert.deepEqual([url, kind], ["https://cdn.test/v/7~?token=t1&expiry=1700000000000", "mp4"]);
});

Deno.test("json-api: URL put together from fields of the response → found", async () => {
  const script =
    `fetch("/api/7").then(r => r.json()).then(d => { hls.loadSource("https://cdn.test/" + d.data.path + "/master.m3u8") })`;
  const { result } = resolve(script, { "/api/7": () => Response.json({ data: { path: "v/7" } }) });
  assert.equal((await result).url, "https://cdn.test/v/7/master.m3u8");
});

Deno.test("json-api: the response is a file or a playlist → its URL", async () => {
  const file = resolve(`fetch("/get?id=7")`, {
    "/get?id=7": () => new Response("", { headers: { "content-type": "video/mp4" } }),
  });
  assert.deepEqual([(await file.result).url, (await file.result).kind], ["https://a.test/get?id=7", "mp4"]);
  const playlist = resolve(`fetch("/list?id=7")`, { "/list?id=7": () => new Response("#EXTM3U\n") });
  assert.deepEqual([(await playlist.result).url, (await playlist.result).kind], ["https://a.test/list?id=7", "hls"]);
});

Deno.test("json-api: the response names a page with a player → followed", async () => {
  const { result } = resolve(`fetch("/api")`, {
    "/api": () => Response.json({ link: "/embed/7" }),
    "/embed/7": `<video src="/7.mp4"></video>`,
  });
  const resolved = await result;
  assert.deepEqual([resolved.url, resolved.shape], [
    "https://a.test/7.mp4",
    "json-api: fetch → player-file: video-src",
  ]);
});

Deno.test("json-api: 500 every time → http_5xx, and what the page has", async () => {
  const { result } = resolve(`fetch("/api")`, { "/api": () => new Response("", { status: 500 }) });
  await assert.rejects(
    result,
    (error) =>
      refusedAs("http_5xx")(error) &&
      /no known player: .*a request that failed \(http_5xx\)/.test((error as SourceError).message),
  );
});

Deno.test("json-api: POST with a FormData → multipart fields", async () => {
  const script =
    `const form = new FormData(); form.append("id", "7"); form.append("t", "x"); fetch("/api", { method: "POST", body: form })`;
  const { result } = resolve(script, {
    "/api": async (request) => {
      const form = await request.formData();
      const isMultipart = request.headers.get("content-type")?.startsWith("multipart/form-data; boundary=");
      return isMultipart && form.get("id") === "7" && form.get("t") === "x"
        ? media()
        : new Response("", { status: 400 });
    },
  });
  assert.equal((await result).url, MEDIA);
});

Deno.test("json-api: response is HTML without a player → unsupported", async () => {
  const { result } = resolve(`fetch("/api")`, { "/api": () => htmlResponse("<p>login</p>") });
  await assert.rejects(result, refusedAs("unsupported"));
});
