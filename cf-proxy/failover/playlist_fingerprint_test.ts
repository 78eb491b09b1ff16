// What a playlist is known by: it survives a move, and nothing else.
import assert from "node:assert/strict";
import { parsePlaylist } from "../../core/hls/playlist.ts";
import { unwrap } from "../../core/result.ts";
import { listedFiles, listMark } from "./playlist_fingerprint.ts";

const COUNT = 200;
const seconds = (i: number): string => i % 7 === 0 ? "3.900" : "4.000";

function list(address: (i: number) => string, duration = seconds): string {
  const lines = Array.from({ length: COUNT }, (_, i) => `#EXTINF:${duration(i)},\n${address(i)}\n`);
  return `#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k/a.key?t=1"\n${lines.join("")}#EXT-X-ENDLIST\n`;
}

const OLD = list((i) => `old/seg-${i}.ts?t=1`);

Deno.test("listMark: other directories, queries and line ends → the same mark", async () => {
  const mark = await listMark(OLD);
  const moved = list((i) => `https://cdn.test/new-token/v/seg-${i}.ts?t=${i}`).replace("k/a.key?t=1", "/x/a.key");
  for (const text of [moved, moved.replaceAll("\n", "\r\n"), list((i) => `seg-${i}.ts`)]) {
    assert.equal(await listMark(text), mark);
  }
});

Deno.test("listMark: a segment more, one that is longer, two that changed places, a break, another name or key → another mark", async () => {
  const others = {
    "a segment more": OLD.replace("#EXT-X-ENDLIST", "#EXTINF:1,\nx.ts\n#EXT-X-ENDLIST"),
    "one that is longer": list((i) => `seg-${i}.ts`, (i) => i === 150 ? "4.010" : seconds(i)),
    "two that changed places": list(
      (i) => `seg-${i}.ts`,
      (i) => i === 140 || i === 141 ? seconds(281 - i) : seconds(i),
    ),
    "a break": OLD.replace("old/seg-150", "#EXT-X-DISCONTINUITY\nold/seg-150"),
    "another name": list((i) => `segment-${i}.ts`),
    "another key": OLD.replace("a.key", "b.key"),
  };
  const marks = new Set([await listMark(OLD)]);
  for (const text of Object.values(others)) marks.add(await listMark(text));
  assert.equal(marks.size, 1 + Object.keys(others).length);
  assert.equal(await listMark(OLD.replace("#EXT-X-ENDLIST\n", "")), null);
});

Deno.test("listMark: a line separator of Unicode ends no line, however many of them there are", async () => {
  const titled = (title: string) => OLD.replace("4.000,", `4.000,a\u2028${title}/b`);
  assert.notEqual(await listMark(titled("one")), await listMark(titled("two")));
  assert.notEqual(await listMark(`#EXTM3U\n${"\u2028a".repeat(1 << 20)}\n#EXT-X-ENDLIST\n`), null);
});

Deno.test("listedFiles: initialisation sections and keys are files, but no segments; a name of two addresses is none", () => {
  const text = '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k.key"\n#EXT-X-MAP:URI="init.mp4"\n' +
    "#EXTINF:1,\na/1.m4s\n#EXTINF:1,\nb/2.m4s\n#EXTINF:1,\na/3.m4s\n#EXTINF:1,\nb/3.m4s\n#EXT-X-ENDLIST\n";
  const playlist = unwrap(parsePlaylist(text, new URL("https://cdn.test/v/m.m3u8")));
  assert.ok(playlist.kind === "media");
  const { all, segments } = listedFiles(playlist);
  assert.deepEqual([...all.keys()].sort(), ["1.m4s", "2.m4s", "init.mp4", "k.key"]);
  assert.equal(all.get("2.m4s"), "https://cdn.test/v/b/2.m4s");
  assert.deepEqual([segments.has("1.m4s"), segments.has("init.mp4"), segments.has("k.key")], [true, false, false]);
});
