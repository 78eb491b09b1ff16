// Frames, decoys, the choice of a source, and the report about a page without a player.
import assert from "node:assert/strict";
import { createSites, htmlResponse, pages } from "../../dev/emulators/sites/sites.ts";
import { SourceError } from "../source_error.ts";
import { resolveServer } from "./index.ts";

const MEDIA = `<script>p.setup({file:"/ep1.mp4"})</script>`;

async function resolve(html: string, more: Readonly<Record<string, string>> = {}) {
  const { fetch } = createSites({
    "a.test": pages({ "/e": html, "/player": MEDIA, ...more }),
    "b.test": () => htmlResponse("<p>ad</p>"),
  });
  const tools = { fetch, signal: new AbortController().signal, now: Date.now };
  return await resolveServer({ embedUrl: "https://a.test/e" }, tools);
}

async function reportOf(html: string): Promise<string> {
  const failure = await resolve(html).then(() => null, (error) => error);
  assert.ok(failure instanceof SourceError, html);
  return `${failure.reason}: ${failure.message}`;
}

Deno.test("frames: advertisements, hidden frames beside one player → the player", async () => {
  for (
    const html of [
      `<iframe src="/player"></iframe><div><iframe class="ad-frame" src="https://b.test/1"></iframe></div>`,
      `<iframe src="https://b.test/1" width="1" height="1"></iframe><iframe src="/player"></iframe>`,
      `<iframe src="https://b.test/1" style="display:none"></iframe><iframe src="/player"></iframe>`,
      `<iframe src="https://b.test/1"></iframe><iframe src="/player" allowfullscreen></iframe>`,
      `<iframe src="https://b.test/1"></iframe><iframe allow="autoplay; fullscreen" data-src="/player" src="about:blank"></iframe>`,
      `<iframe src="/player"></iframe><iframe src="/player"></iframe>`,
    ]
  ) assert.equal((await resolve(html)).url, "https://a.test/ep1.mp4", html);
});

Deno.test("frames: added, stated or redirected to → followed", async () => {
  for (
    const html of [
      `<script>document.write('<iframe src="/player"><\\/iframe>')</script>`,
      `<div id="x"></div><script>document.getElementById("x").innerHTML = '<iframe src="/player"></iframe>'</script>`,
      `<script>var f = document.createElement("iframe"); f.setAttribute("width", 1); iframe.src = "/player"</script>`,
      `<script>if (a) { window.location.href = 'https://a.test/player' }</script>`,
      `<script>location.replace("/player")</script>`,
      `<meta http-equiv="refresh" content="0; url=/player">`,
      `<META CONTENT="3;URL='/player'" HTTP-EQUIV=Refresh>`,
      `<meta property="og:video:url" content="/player"><meta property="og:video:type" content="text/html">`,
      `<meta name="twitter:player" content="/player">`,
      `<script type="application/ld+json">{"@type":"VideoObject","embedUrl":"https:\\/\\/a.test\\/player"}</script>`,
      `<iframe srcdoc="&lt;video src='/ep1.mp4'&gt;&lt;/video&gt;"></iframe>`,
      `<video-js><source src="/ep1.mp4"></video-js>`,
      `<script>self.__next_f.push([1,"{\\"video\\":{\\"url\\":\\"/ep1.mp4\\"}}"])</script>`,
      `<script>var episodes = [{url:"/e/2"}, {url:"/e/3.mp4"}], links = [{url:"/e/4"}], player = {sources:[{file:"/ep1.mp4"}]}</script>`,
    ]
  ) assert.equal((await resolve(html)).url, "https://a.test/ep1.mp4", html);
});

Deno.test("frames: redirect to the start page, or two players → not followed", async () => {
  for (
    const html of [
      `<script>if (top === self) location.href = "https://a.test/"</script>`,
      `<iframe src="/player" allowfullscreen></iframe><iframe src="https://b.test/1" allowfullscreen></iframe>`,
    ]
  ) await assert.rejects(resolve(html), SourceError, html);
});

Deno.test("decoys: nothing but advertisements and trailers → unsupported", async () => {
  for (
    const html of [
      `<video id="trailer" src="/t.mp4"></video>`,
      `<div class="player-preview"><video><source src="/t.mp4"></video></div>`,
      `<video data-ad src="/t.mp4"></video>`,
      `<video autoplay muted loop><source src="/bg.mp4"></video>`,
      `<video src="https://ads.b.test/1.mp4"></video>`,
      `<video src="/media/trailers/1.mp4"></video>`,
      `<video src="/media/show-official-trailer_1080p.mp4"></video>`,
      `<script>jwplayer("trailer").setup({file:"/t.mp4"})</script>`,
      `<script>var p = jwplayer("ad-slot"); p.setup({file:"/t.mp4"})</script>`,
      `<script>const el = document.querySelector("#promo"); el.src = "/t.mp4"</script><video id="promo"></video>`,
      `<script>p.setup({trailer:{file:"/t.mp4"},image:"/p.mp4"})</script>`,
      `<script>p.setup({playlist:[{title:"Trailer",file:"/t.mp4"}]})</script>`,
      `<script>showAd({sources:[{file:"/t.mp4"}]})</script>`,
      `<script>var trailers = [{src:"/t.mp4"}], previewUrl = "/t.m3u8"; teaser.src = "/t.mp4"</script>`,
      `<script type="application/ld+json">{"@type":"Movie","trailer":{"@type":"VideoObject","contentUrl":"/t.mp4"}}</script>`,
      `<!-- <video src="/old.mp4"></video> --><script>/* p.setup({file:"/old.mp4"}) */ // hls.loadSource("/old.m3u8")</script>`,
      `<noscript><video src="/n.mp4"></video></noscript><template><video src="/n.mp4"></video></template>`,
    ]
  ) assert.match(await reportOf(html), /^unsupported: no known player: /, html);
});

Deno.test("decoys: a title that contains such a word → taken", async () => {
  for (
    const html of [
      `<video src="/media/Trailer.Park.S01E01.mp4"></video>`,
      `<video src="/shows/the-next-promise/1.mp4"></video>`,
      `<script>p.setup({title:"Next Door to the Preview Room",file:"/1.mp4"})</script>`,
      `<script>var uploadUrl = "/1.mp4", broadcast = 1</script>`,
    ]
  ) assert.equal((await resolve(html)).kind, "mp4", html);
});

Deno.test("sources: labels, defaults and kinds → the best", async () => {
  const setup = (sources: unknown) => `<script>p.setup({sources:${JSON.stringify(sources)}})</script>`;
  const cases: readonly [unknown, string, string | undefined][] = [
    [
      [{ file: "/l.mp4", label: "SD" }, { file: "/h.mp4", label: "Full HD" }, { file: "/m.mp4", label: "HD" }],
      "/h.mp4",
      "Full HD",
    ],
    [
      [{ file: "/360.mp4", label: "360p" }, { file: "/a.m3u8" }, { file: "/1080.mp4", label: "1080p" }],
      "/a.m3u8",
      undefined,
    ],
    [[{ file: "/a.m3u8", label: "480p" }, { file: "/1080.mp4", label: "1080p" }], "/1080.mp4", "1080p"],
    [[{ file: "/1.webm" }, { file: "/1.mp4" }], "/1.mp4", undefined],
    [[{ file: "/1.mp4" }, { file: "/2.mp4", default: true }], "/2.mp4", undefined],
    [[{ file: "/a.mpd", type: "application/dash+xml" }, { file: "/1.mp4" }], "/a.mpd", undefined],
    [[{ file: "/a.mpd" }, { file: "/a.m3u8" }], "/a.m3u8", undefined],
    [
      [{ file: "/x.mp4", label: 720, drm: { widevine: { url: "https://l.test" } } }, { file: "/1.mp4", label: 360 }],
      "/1.mp4",
      "360",
    ],
    ["/only.mp4", "/only.mp4", undefined],
  ];
  for (const [sources, path, quality] of cases) {
    const resolved = await resolve(setup(sources));
    assert.deepEqual([resolved.url, resolved.quality], [`https://a.test${path}`, quality]);
  }
});

Deno.test("sources: stated type against extension → a playlist stays one", async () => {
  const kindOf = async (source: unknown) => (await resolve(`<script>p.src(${JSON.stringify(source)})</script>`)).kind;
  assert.equal(await kindOf({ src: "/a.m3u8", type: "video/mp4" }), "hls");
  assert.equal(await kindOf({ src: "/a.txt", type: "application/x-mpegURL" }), "hls");
  assert.equal(await kindOf({ src: "/get?id=1", type: "application/dash+xml" }), "dash");
  assert.equal(await kindOf({ src: "/get.php?id=1", type: "video/mp4" }), "mp4");
});

Deno.test("subtitles: captions of the player → kept, thumbnails not", async () => {
  const { subtitles } = await resolve(`<script>p.setup({file:"/1.mp4",tracks:[
    {file:"/en.vtt",label:"English",kind:"captions",default:true},{file:"/thumbs.vtt",kind:"thumbnails"},
    {src:"/id.srt",srclang:"id",label:"Bahasa"},{file:"/chapters.vtt",kind:"chapters"}]})</script>`);
  assert.deepEqual(subtitles, [
    { url: "https://a.test/en.vtt", label: "English" },
    { url: "https://a.test/id.srt", language: "id", label: "Bahasa" },
  ]);
  const inVideo = await resolve(
    `<video src="/1.mp4"><track kind="subtitles" src="/fr.vtt" srclang="fr" label="Français"></video>`,
  );
  assert.deepEqual(inVideo.subtitles, [{ url: "https://a.test/fr.vtt", language: "fr", label: "Français" }]);
});

Deno.test("report: page without a player → what it has instead", async () => {
  const packed = `eval(function(p,a,c,k,e,d){return p}('0.1()',62,2,'ads|show'.split('|'),0,{}))`;
  const cases: readonly [string, string][] = [
    [`<p>soon</p>`, "unsupported: no known player: only text"],
    [``, "unsupported: no known player: the page is empty"],
    [
      `<iframe src="https://b.test/1"></iframe><iframe src="https://c.test/2"></iframe><script>${packed}</script>`,
      "unsupported: no known player: 2 iframes (b.test, c.test), 1 packed script that unpacked to no link",
    ],
    [
      `<script>eval(function(p,a,c,k,e,d){}('cut</script>`,
      "parse: no known player: 1 packed script that cannot be unpacked",
    ],
    [`<title>Just a moment...</title>`, "blocked: no known player: a Cloudflare challenge"],
    [
      `<form><div class="g-recaptcha"></div><input type="password"></form>`,
      "unsupported: no known player: a captcha, a login form",
    ],
    [`<h1>File was deleted</h1>`, "unsupported: no known player: a text that the video was removed"],
    [
      `<script>p.setup({file: player_url})</script>`,
      "unsupported: no known player: 1 player set-up with a URL that only running the script gives",
    ],
    [
      `<script>p.setup({file:"/a.mpd",drm:{widevine:{url:"/l"}}})</script>`,
      "unsupported: no known player: sources with DRM (widevine)",
    ],
    [`<script src="https://b.test/p.js"></script>`, "unsupported: no known player: 1 script file (b.test)"],
    [
      `<video id="trailer" src="/t.mp4"></video>`,
      "unsupported: no known player: 1 <video> element without a usable source, 1 media URL of an advertisement, trailer or preview",
    ],
  ];
  for (const [html, report] of cases) assert.equal(await reportOf(html), report);
});
