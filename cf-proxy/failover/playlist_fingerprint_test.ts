import assert from "node:assert/strict";
import { parsePlaylist } from "../../core/hls/playlist.ts";
import { unwrap } from "../../core/result.ts";
import { listedFiles, playlistFingerprint } from "./playlist_fingerprint.ts";

const COUNT = 200;
const seconds = (i: number): string => i % 7 === 0 ? "3.900" : "4.000";

function list(url: (i: number) => string, duration = seconds): string {
  const lines = Array.from({ length: COUNT }, (_, i) => `#EXTINF:${duration(i)},\n${url(i)}\n`);
  return `#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k/a.key?t=1"\n${lines.join("")}#EXT-X-ENDLIST\n`;
}

const OLD = list((i) => `old/seg-${i}.ts?t=1`);

Deno.test("fingerprint: other directories, queries, line ends → the same", async () => {
  const fingerprint = await playlistFingerprint(OLD);
  const moved = list((i) => `https://cdn.test/new-token/v/seg-${i}.ts?t=${i}`).replace("k/a.key?t=1", "/x/a.key");
  for (const text of [moved, moved.replaceAll("\n", "\r\n"), list((i) => `seg-${i}.ts`)]) {
    assert.equal(await playlistFingerprint(text), fingerprint);
  }
});

Deno.test("fingerprint: other segments, order, discontinuity, key → another", async () => {
  const others = {
    "one more segment": OLD.replace("#EXT-X-ENDLIST", "#EXTINF:1,\nx.ts\n#EXT-X-ENDLIST"),
    "a longer segment": list((i) => `seg-${i}.ts`, (i) => i === 150 ? "4.010" : seconds(i)),
    "two segments swapped": list(
      (i) => `seg-${i}.ts`,
      (i) => i === 140 || i === 141 ? seconds(281 - i) : seconds(i),
    ),
    "a discontinuity": OLD.replace("old/seg-150", "#EXT-X-DISCONTINUITY\nold/seg-150"),
    "another name": list((i) => `segment-${i}.ts`),
    "another key": OLD.replace("a.key", "b.key"),
  };
  const fingerprints = new Set([await playlistFingerprint(OLD)]);
  for (const text of Object.values(others)) fingerprints.add(await playlistFingerprint(text));
  assert.equal(fingerprints.size, 1 + Object.keys(others).length);
  assert.equal(await playlistFingerprint(OLD.replace("#EXT-X-ENDLIST\n", "")), null);
});

Deno.test("fingerprint: Unicode line separators → do not end a line", async () => {
  const titled = (title: string) => OLD.replace("4.000,", `4.000,a\u2028${title}/b`);
  assert.notEqual(await playlistFingerprint(titled("one")), await playlistFingerprint(titled("two")));
  assert.notEqual(await playlistFingerprint(`#EXTM3U\n${"\u2028a".repeat(1 << 20)}\n#EXT-X-ENDLIST\n`), null);
});

Deno.test("listedFiles: shared files → no segments; a name with two URLs → none", () => {
  const text = '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k.key"\n#EXT-X-MAP:URI="init.mp4"\n' +
    "#EXTINF:1,\na/1.m4s\n#EXTINF:1,\nb/2.m4s\n#EXTINF:1,\na/3.m4s\n#EXTINF:1,\nb/3.m4s\n#EXT-X-ENDLIST\n";
  const playlist = unwrap(parsePlaylist(text, new URL("https://cdn.test/v/m.m3u8")));
  assert.ok(playlist.kind === "media");
  const { all, segments } = listedFiles(playlist);
  assert.deepEqual([...all.keys()].sort(), ["1.m4s", "2.m4s", "init.mp4", "k.key"]);
  assert.equal(all.get("2.m4s"), "https://cdn.test/v/b/2.m4s");
  assert.deepEqual([segments.has("1.m4s"), segments.has("init.mp4"), segments.has("k.key")], [true, false, false]);
});
