// Limits of expanded variables, which the parser and the rewriter share.
import assert from "node:assert/strict";
import { parsePlaylist } from "./playlist.ts";
import { rewritePlaylist } from "./rewrite.ts";

const BASE = new URL(`https://cdn.test/m.m3u8?long=${"q".repeat(5000)}&t=5`);

function playlist(...lines: readonly string[]): string {
  return ["#EXTM3U", "#EXT-X-TARGETDURATION:4", ...lines, "#EXT-X-ENDLIST", ""].join("\n");
}

function variable(name: string, length: number): string {
  return `#EXT-X-DEFINE:NAME="${name}",VALUE="${"a".repeat(length)}"`;
}

/** The results of the parser and the rewriter: an error code, or ok. */
async function judge(text: string): Promise<[parsed: string, rewritten: string]> {
  const parsed = parsePlaylist(text, BASE);
  const rewritten = await rewritePlaylist(text, {
    base: BASE,
    proxyUrl: "https://worker.test/proxy",
    policy: {},
    parent: { scope: "https://cdn.test/", tail: "exp=1" },
    sign: () => Promise.resolve("exp=1"),
  });
  return [parsed.ok ? "ok" : parsed.error.code, rewritten.ok ? "ok" : rewritten.error.code];
}

Deno.test("EXT-X-DEFINE: value over 4 KiB, also of the query → too_large", async () => {
  const segment = ["#EXTINF:4,", "{$a}.ts"];
  assert.deepEqual(await judge(playlist(variable("a", 4096), ...segment)), ["ok", "ok"]);
  assert.deepEqual(await judge(playlist(variable("a", 4097), ...segment)), ["too_large", "too_large"]);
  assert.deepEqual(await judge(playlist('#EXT-X-DEFINE:QUERYPARAM="long"')), ["too_large", "too_large"]);
});

Deno.test("EXT-X-DEFINE: 257 variables, or a name of 129 characters → error", async () => {
  const variables = Array.from({ length: 257 }, (_, i) => variable(`v${i}`, 1));
  assert.deepEqual(await judge(playlist(...variables.slice(1))), ["ok", "ok"]);
  assert.deepEqual(await judge(playlist(...variables)), ["too_large", "too_large"]);
  assert.deepEqual(await judge(playlist(variable("n".repeat(129), 1))), ["malformed", "malformed"]);
});

Deno.test("{$name}: line longer than a URL may be, in a URL or a tag → too_large", async () => {
  const a = variable("a", 4096);
  assert.deepEqual(await judge(playlist(a, "#EXTINF:4,", "{$a}".repeat(3) + ".ts")), ["ok", "ok"]);
  assert.deepEqual(await judge(playlist(a, "#EXTINF:4,", "{$a}".repeat(5) + ".ts")), ["too_large", "too_large"]);
  const key = `#EXT-X-KEY:METHOD=AES-128,URI="${"{$a}".repeat(100_000)}"`;
  assert.deepEqual(await judge(playlist(a, key)), ["too_large", "too_large"]);
});

Deno.test("{$name}: over 8 Mi characters → too_large; 10,000 long tokens → ok", async () => {
  const segments = (count: number) => Array.from({ length: count }, (_, i) => `#EXTINF:4,\n${i}.ts?{$a}`);
  assert.deepEqual(await judge(playlist(variable("a", 500), ...segments(10_000))), ["ok", "ok"]);
  assert.deepEqual(await judge(playlist(variable("a", 4000), ...segments(2200))), ["too_large", "too_large"]);
});
