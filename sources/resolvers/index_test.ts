import assert from "node:assert/strict";
import { MEGA_KEY, MEGA_LINK, megaApi } from "../../dev/emulators/sites/mega_site.ts";
import { packedPage, packScript, playerSetup } from "../../dev/emulators/sites/packed_page.ts";
import { createSites, htmlResponse, pages, type Site } from "../../dev/emulators/sites/sites.ts";
import { resolveServer, type ResolveTools, type ServerToResolve } from "./index.ts";
import { SourceError } from "../source_error.ts";

function resolve(
  server: ServerToResolve | string,
  sites: Readonly<Record<string, Site>> = {},
  more: Partial<ResolveTools> = {},
) {
  const { fetch, requests } = createSites(sites);
  const tools = { fetch, signal: new AbortController().signal, now: Date.now, ...more };
  const result = resolveServer(typeof server === "string" ? { embedUrl: server } : server, tools);
  return { result, requests };
}

const refusedAs = (reason: string) => (error: unknown) => error instanceof SourceError && error.reason === reason;

Deno.test("direct: URL with a media extension → used without a request", async () => {
  const { result, requests } = resolve("https://cdn.test/a.mp4?Expires=1767225600");
  assert.deepEqual(await result, {
    url: "https://cdn.test/a.mp4?Expires=1767225600",
    kind: "mp4",
    headers: {},
    expiresAt: 1767225600,
    subtitles: [],
  });
  assert.deepEqual(requests, []);
});

Deno.test("direct: media response → media, body not read", async () => {
  let cancelled = false;
  const site: Site = () =>
    new Response(new ReadableStream({ cancel: () => void (cancelled = true) }), {
      headers: { "content-type": "video/x-matroska" },
    });
  const resolved = await resolve("https://cdn.test/get?id=1", { "cdn.test": site }).result;
  assert.deepEqual([resolved.url, resolved.kind, cancelled], ["https://cdn.test/get?id=1", "mkv", true]);
});

Deno.test("resolveServer: URL without an extension → probed for its type", async () => {
  const site = pages({
    "/e": `<script>p.setup({file:"/stream?id=1",tracks:[{file:"/en.vtt",srclang:"en",label:"English"}]})</script>`,
    "/stream": () => new Response("#EXTM3U", { headers: { "content-type": "application/vnd.apple.mpegurl" } }),
  });
  const resolved = await resolve("https://a.test/e", { "a.test": site }).result;
  assert.deepEqual([resolved.url, resolved.kind], ["https://a.test/stream?id=1", "hls"]);
  assert.deepEqual(resolved.subtitles, [{ url: "https://a.test/en.vtt", language: "en", label: "English" }]);
});

Deno.test("resolveServer: <video> source → found; poster, scripts → ignored", async () => {
  const html = `<script src="/app.js"></script><video poster="/p.mp4.jpg"><source src="/v/1.webm"></video>`;
  const resolved = await resolve("https://a.test/e", { "a.test": () => htmlResponse(html) }).result;
  assert.deepEqual([resolved.url, resolved.kind], ["https://a.test/v/1.webm", "webm"]);
});

Deno.test("resolveServer: a page with one frame → followed, to a limit", async () => {
  const frame = (src: string) => `<html><body><iframe src="${src}"></iframe></body></html>`;
  const media = `<script>p.setup({file:"/m.m3u8"})</script>`;
  assert.equal(
    (await resolve("https://a.test/1", { "a.test": pages({ "/1": frame("/2"), "/2": frame("/3"), "/3": media }) })
      .result).kind,
    "hls",
  );
  const deep = pages({ "/1": frame("/2"), "/2": frame("/3"), "/3": frame("/4"), "/4": media });
  await assert.rejects(resolve("https://a.test/1", { "a.test": deep }).result, refusedAs("unsupported"));
  await assert.rejects(
    resolve("https://a.test/1", { "a.test": pages({ "/1": frame("/2") + frame("/3"), "/2": media, "/3": media }) })
      .result,
    refusedAs("unsupported"),
  );
});

Deno.test("resolveServer: packed player beside a plain ad → the player", async () => {
  const html = packedPage(
    packScript(playerSetup({ hls2: "https://cdn.test/m.m3u8" })),
    `ads({file:"https://ads.test/ad.mp4"})`,
  );
  assert.equal(
    (await resolve("https://a.test/e", { "a.test": () => htmlResponse(html) }).result).url,
    "https://cdn.test/m.m3u8",
  );
});

Deno.test("resolveServer: a URL bound to a network → resolved again by the runner", async () => {
  /** The host signs URLs for the requesting network and checks it again when the media is requested. */
  const host: Site = (request, url) => {
    const network = request.headers.get("x-network");
    if (url.pathname === "/e") {
      return htmlResponse(packedPage(packScript(playerSetup({ hls2: `https://host.test/m.m3u8?t=${network}` }))));
    }
    return url.searchParams.get("t") === network ? new Response("#EXTM3U") : new Response("", { status: 403 });
  };
  const { fetch } = createSites({ "host.test": host });
  const from = (network: string) => (input: string, init?: RequestInit) =>
    fetch(input, { ...init, headers: { ...Object.fromEntries(new Headers(init?.headers)), "x-network": network } });
  const tools = { signal: new AbortController().signal, now: Date.now };
  const status = async (url: string, network: string) => (await from(network)(url)).status;

  const atEdge = await resolveServer({ embedUrl: "https://host.test/e" }, { ...tools, fetch: from("edge") });
  assert.deepEqual([await status(atEdge.url, "edge"), await status(atEdge.url, "runner")], [200, 403]);
  const queued = { embedUrl: "https://host.test/e", videoUrl: atEdge.url, kind: atEdge.kind };
  const atRunner = await resolveServer(queued, { ...tools, fetch: from("runner") });
  assert.equal(await status(atRunner.url, "runner"), 200);
});

Deno.test("queued job: page changed → known URL used; file gone → failure", async () => {
  const queued = { embedUrl: "https://a.test/e", videoUrl: "https://cdn.test/a.mp4", kind: "mp4" };
  const changed = resolve(queued, { "a.test": () => htmlResponse("<h1>New design</h1>") });
  assert.equal((await changed.result).url, queued.videoUrl);
  const mega = { embedUrl: MEGA_LINK, videoUrl: "https://storage.test/dl/old", kind: "mega" };
  const gone = resolve(mega, { "api.test": megaApi([-9]).site }, { megaApiUrl: "https://api.test" });
  await assert.rejects(gone.result, refusedAs("gone"));
  const busy = resolve(mega, { "api.test": () => new Response("", { status: 500 }) }, {
    megaApiUrl: "https://api.test",
  });
  assert.deepEqual([(await busy.result).url, (await busy.result).megaKey], [mega.videoUrl, MEGA_KEY]);
});

Deno.test("mega: link → the configured API; no API → unsupported", async () => {
  const { site } = megaApi([{ g: "https://storage.test/dl/1", s: 9 }]);
  const resolved = await resolve(MEGA_LINK, { "api.test": site }, { megaApiUrl: "https://api.test" }).result;
  assert.deepEqual([resolved.kind, resolved.megaKey], ["mega", MEGA_KEY]);
  await assert.rejects(resolve(MEGA_LINK).result, refusedAs("unsupported"));
});

Deno.test("resolveServer: no URL, or another scheme → invalid_input", async () => {
  await assert.rejects(resolve({ embedUrl: null }).result, refusedAs("invalid_input"));
  for (const url of ["--version", "javascript:alert(1)", "file:///etc/passwd", ""]) {
    await assert.rejects(resolve(url).result, refusedAs("invalid_input"));
  }
});
