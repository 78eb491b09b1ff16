import assert from "node:assert/strict";
import { parseSigningKeys, verifyLink } from "../../core/link.ts";
import { unwrap } from "../../core/result.ts";
import { SIGNING_KEYS } from "../../dev/testing/function_fixture.ts";
import { createStreamLinks } from "./stream_link.ts";

const keys = unwrap(parseSigningKeys(SIGNING_KEYS));
const links = createStreamLinks({ proxyBaseUrl: "https://worker.test", keys });
const input = { url: "https://cdn.test/a.mp4", kind: "mp4", expiresAt: 2_000_000_000 };
const episodeAt = (server: string) => ({ malId: 1, episode: 1, provider: "p", server });

async function contextOf(link: string | null) {
  return unwrap(await verifyLink(new URL(link!), keys, 1_900_000_000)).context;
}

Deno.test("stream link: embed URL too long → title and episode stay", async () => {
  const long = episodeAt(`https://a.test/#${"界".repeat(1_400)}`);
  const named = { malId: 1, episode: 1, provider: "p" };
  assert.deepEqual(await contextOf(await links.sign({ ...input, episode: long })), { episode: named });
  const short = episodeAt("https://a.test/e/1");
  assert.deepEqual(await contextOf(await links.sign({ ...input, episode: short })), { episode: short });
});

Deno.test("stream link: large headers → no server; larger → no link", async () => {
  const episode = episodeAt(`https://a.test/${"e".repeat(1_400)}`);
  const headers = { referer: `https://a.test/${"r".repeat(1_600)}` };
  const named = { malId: 1, episode: 1, provider: "p" };
  assert.deepEqual(await contextOf(await links.sign({ ...input, headers, episode })), { headers, episode: named });
  const huge = { referer: `https://a.test/${"r".repeat(8_000)}` };
  assert.equal(await links.sign({ ...input, headers: huge, episode }), null);
});

Deno.test("stream link: playlist or MPD → scope of its directory; a file → exact", async () => {
  const scopeOf = async (kind: string) => {
    const link = await links.sign({
      ...input,
      url: "https://cdn.test/v/1/m",
      kind,
      episode: episodeAt("https://a.test/"),
    });
    return new URL(link!).searchParams.get("sc");
  };
  assert.deepEqual([await scopeOf("hls"), await scopeOf("dash"), await scopeOf("mp4")], ["2", "2", null]);
});
