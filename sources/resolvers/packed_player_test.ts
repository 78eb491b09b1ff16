import assert from "node:assert/strict";
import {
  adversarialPages,
  expansionBomb,
  packedPage,
  packScript,
  playerSetup,
} from "../../dev/emulators/sites/packed_page.ts";
import { createSites, htmlResponse } from "../../dev/emulators/sites/sites.ts";
import { SourceError } from "../source_error.ts";
import { resolveServer } from "./index.ts";
import { MAX_UNPACKED, unpackBlocks, unpackScripts } from "./packed_script.ts";

const URL_OF_PAGE = "https://player.test/e/abc";
const refusedAs = (reason: string) => (error: unknown) => error instanceof SourceError && error.reason === reason;

async function resolveHtml(html: string) {
  const { fetch } = createSites({ "player.test": () => htmlResponse(html) });
  return await resolveServer({ embedUrl: URL_OF_PAGE }, { fetch, signal: new AbortController().signal, now: Date.now });
}

const resolve = (...scripts: string[]) => resolveHtml(packedPage(...scripts));

const LINKS = {
  hls4: "/stream/x/master.m3u8",
  hls3: "https://cdn.test/x/master.txt",
  hls2: "https://cdn.test/hls2/01/x/master.m3u8?t=abc&s=1767225600&e=10800",
};

for (const radix of [10, 36, 62] as const) {
  for (const lastArgument of ["d", "r"] as const) {
    for (const tail of ["short", "full"] as const) {
      Deno.test(`unpackScripts: radix ${radix}, argument ${lastArgument}, ${tail} tail → the script`, () => {
        const script = `var a0='it\\'s';${playerSetup(LINKS)}for(var i=0;i<10;i++){b(i+"0")}`;
        assert.deepEqual(unpackScripts(packedPage(packScript(script, { radix, lastArgument, tail }))), [script]);
      });
    }
  }
}

Deno.test("unpackScripts: radix 95, with digits from U+00A1 → the script", () => {
  const packed = `eval(function(p,a,c,k,e,d){return p}('\xa1.\xa2("\xa3")',95,3,'player|src|file'.split('|'),0,{}))`;
  assert.deepEqual(unpackScripts(packed), [`player.src("file")`]);
});

Deno.test("unpackScripts: other names, white space, quotes, split → the script", () => {
  for (
    const packed of [
      `eval(function (h, i, j, k, l, m) { return h } ( '0.1("2")', 62, 3, 'player|src|file'.split('|'), 0, {} ))`,
      `eval(function(p,a,c,k,e,d){return p}("0.1(\\"2\\")",36,3,"player|src|file"["split"]("|"),0,{}))`,
      "eval(function(p,a,c,k,e,d){return p}('0.1(\"2\")',10,3,`player|src|file`.split(`|`)))",
    ]
  ) {
    assert.deepEqual(unpackScripts(packed), [`player.src("file")`], packed);
  }
});

Deno.test("unpackScripts: characters shifted by an offset → the script", () => {
  const [alphabet, offset, radix] = ["xYzAbCdE", 29, 5];
  const digits = (code: number) => (code + offset).toString(radix).replace(/\d/g, (digit) => alphabet[Number(digit)]!);
  const script = `setup({file:"/é.m3u8"})`;
  const payload = [...new TextEncoder().encode(script)].map((code) => digits(code) + alphabet[radix]).join("");
  const packed =
    `eval(function(h,u,n,t,e,r){r="";return decodeURIComponent(escape(r))}("${payload}",88,"${alphabet}",${offset},${radix},21))`;
  assert.deepEqual(unpackScripts(packed), [script]);
});

Deno.test("packed-player: hls2, hls4, hls3 (.txt) → the first that is there", async () => {
  assert.equal((await resolve(packScript(playerSetup(LINKS)))).url, LINKS.hls2);
  const { hls2: _hls2, ...without2 } = LINKS;
  assert.equal((await resolve(packScript(playerSetup(without2)))).url, "https://player.test/stream/x/master.m3u8");
  const last = await resolve(packScript(playerSetup({ hls3: LINKS.hls3 })));
  assert.deepEqual([last.url, last.kind], [LINKS.hls3, "hls"]);
});

Deno.test("packed-player: links → with Referer, expiry and subtitles", async () => {
  const resolved = await resolve(packScript(playerSetup(LINKS)));
  assert.deepEqual(resolved.headers, { referer: "https://player.test/" });
  assert.equal(resolved.expiresAt, 1767225600 + 10800);
  assert.deepEqual(resolved.subtitles, [{ url: "https://player.test/subs/en.vtt", label: "English" }]);
});

Deno.test("packed-player: no named links → the playlist of the set-up", async () => {
  const script = `player.setup({file:"https://cdn.test/a.mp4",sources:[{file:"https://cdn.test/m.m3u8"}]})`;
  assert.equal((await resolve(packScript(script))).url, "https://cdn.test/m.m3u8");
});

Deno.test("packed-player: the second of two blocks is the player → found", async () => {
  assert.equal((await resolve(packScript("ads.show(7)"), packScript(playerSetup(LINKS)))).url, LINKS.hls2);
});

Deno.test("packed-player: no media → unsupported; cut off → parse", async () => {
  await assert.rejects(resolve(packScript("ads.show(7)")), refusedAs("unsupported"));
  await assert.rejects(resolveHtml("<p>none</p>"), refusedAs("unsupported"));
  await assert.rejects(resolve("eval(function(p,a,c,k,e,d){}('cut off"), refusedAs("parse"));
});

Deno.test("packed-player: broken block beside a plain player → the player", async () => {
  const html = packedPage("eval(function(p,a,c,k,e,d){}('0',62,1,'a'.join('|')))", `p.setup({file:"/ep1.mp4"})`);
  assert.equal((await resolveHtml(html)).url, "https://player.test/ep1.mp4");
});

Deno.test("packed-player: unpacks beyond the cap → refused before unpacking", async () => {
  const bomb = expansionBomb(20_000, 1_000);
  assert.ok(bomb.length < 25_000);
  assert.deepEqual(unpackBlocks(bomb), { texts: [], count: 1 });
  await assert.rejects(resolve(bomb), refusedAs("parse"));
  const many = Array.from({ length: 10 }, () => expansionBomb(1_000, 300));
  assert.ok(unpackScripts(many.join("")).join("").length <= MAX_UNPACKED);
});

Deno.test("packed-player: count of 1e9, adversarial pages → no media", async () => {
  for (const script of adversarialPages()) await assert.rejects(resolve(script), SourceError);
});
