import assert from "node:assert/strict";
import {
  adversarialPages,
  expansionBomb,
  packedPage,
  packScript,
  playerSetup,
} from "../../dev/emulators/sites/packed_page.ts";
import { SourceError } from "../source_error.ts";
import { resolvePackedPlayer } from "./packed_player.ts";
import { MAX_UNPACKED, unpackScripts } from "./packed_script.ts";
import { scriptMedia } from "./script_media.ts";

const URL_OF_PAGE = "https://player.test/e/abc";
const resolve = (...scripts: string[]) => resolvePackedPlayer({ html: packedPage(...scripts), url: URL_OF_PAGE });

const LINKS = {
  hls4: "/stream/x/master.m3u8",
  hls3: "https://cdn.test/x/master.txt",
  hls2: "https://cdn.test/hls2/01/x/master.m3u8?t=abc&s=1767225600&e=10800",
};

for (const radix of [10, 36, 62] as const) {
  for (const lastArgument of ["d", "r"] as const) {
    for (const tail of ["short", "full"] as const) {
      Deno.test(`unpackScripts gives the script back: radix ${radix}, argument ${lastArgument}, ${tail} tail`, () => {
        const script = `var a0='it\\'s';${playerSetup(LINKS)}for(var i=0;i<10;i++){b(i+"0")}`;
        assert.deepEqual(unpackScripts(packedPage(packScript(script, { radix, lastArgument, tail }))), [script]);
      });
    }
  }
}

Deno.test("hls2 is preferred, then hls4, then hls3 although it is called .txt", () => {
  assert.equal(resolve(packScript(playerSetup(LINKS)))?.url, LINKS.hls2);
  const { hls2: _hls2, ...without2 } = LINKS;
  assert.equal(resolve(packScript(playerSetup(without2)))?.url, "https://player.test/stream/x/master.m3u8");
  const last = resolve(packScript(playerSetup({ hls3: LINKS.hls3 })));
  assert.deepEqual([last?.url, last?.kind], [LINKS.hls3, "hls"]);
});

Deno.test("referer, expiry and subtitles come with the address", () => {
  const resolved = resolve(packScript(playerSetup(LINKS)));
  assert.deepEqual(resolved?.headers, { referer: "https://player.test/" });
  assert.equal(resolved?.expiresAt, 1767225600 + 10800);
  assert.deepEqual(resolved?.subtitles, [{ url: "https://player.test/subs/en.vtt", label: "English" }]);
});

Deno.test("without named links the first playlist of the script is taken", () => {
  const script = `player.setup({file:"https://cdn.test/a.mp4",sources:[{file:"https://cdn.test/m.m3u8"}]})`;
  assert.equal(resolve(packScript(script))?.url, "https://cdn.test/m.m3u8");
});

Deno.test("of two blocks the second may be the useful one", () => {
  assert.equal(resolve(packScript("ads.show(7)"), packScript(playerSetup(LINKS)))?.url, LINKS.hls2);
});

Deno.test("packed player: no media → next resolver; not unpackable → parse", () => {
  assert.equal(resolve(packScript("ads.show(7)")), null);
  assert.equal(resolvePackedPlayer({ html: "<p>none</p>", url: URL_OF_PAGE }), null);
  assert.throws(
    () => resolve("eval(function(p,a,c,k,e,d){}('cut off"),
    (error) => error instanceof SourceError && error.reason === "parse",
  );
});

Deno.test("packed player: unpacks beyond the cap → refused before unpacking", () => {
  const bomb = expansionBomb(20_000, 1_000);
  assert.ok(bomb.length < 25_000);
  assert.deepEqual(unpackScripts(bomb), []);
  assert.throws(() => resolve(bomb), SourceError);
  const many = Array.from({ length: 10 }, () => expansionBomb(1_000, 300));
  assert.ok(unpackScripts(many.join("")).join("").length <= MAX_UNPACKED);
});

Deno.test("a count of 1e9 costs nothing, adversarial pages end without an address", () => {
  for (const html of adversarialPages()) {
    const texts = unpackScripts(html);
    assert.deepEqual(texts.flatMap((text) => scriptMedia(text, URL_OF_PAGE).urls), []);
    assert.deepEqual(scriptMedia(html, URL_OF_PAGE).urls.filter((one) => one.startsWith("http:")), []);
  }
});
