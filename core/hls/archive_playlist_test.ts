import assert from "node:assert/strict";
import { rewriteArchivePlaylist, rewriteSpriteIndex } from "./archive_playlist.ts";
import { mergePlaylists } from "./merged_playlist.ts";
import { parsePlaylist } from "./playlist.ts";
import { unwrap } from "../result.ts";

const [A, B, C] = ["a".repeat(32), "b".repeat(32), "c".repeat(32)];
const link = (name: string) => `https://worker.test/proxy?t&url=${name}`;

const multivariant = (key: string, height: number, more: readonly string[] = []) =>
  [
    "#EXTM3U",
    "#EXT-X-VERSION:7",
    "#EXT-X-INDEPENDENT-SEGMENTS",
    ...more,
    `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aud",NAME="Japanese, \\"TV\\"",LANGUAGE="ja",DEFAULT=YES,AUTOSELECT=YES,URI="${key}.a0.m3u8"`,
    `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="sub",NAME="URI=x",LANGUAGE="en",DEFAULT=NO,URI="${key}.s0.m3u8"`,
    `#EXT-X-STREAM-INF:BANDWIDTH=${height}000,CODECS="avc1.64001F,mp4a.40.2",RESOLUTION=${
      height * 2
    }x${height},AUDIO="aud",SUBTITLES="sub"`,
    `${key}.v.m3u8`,
    `#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1000,CODECS="avc1.64001F",URI="${key}.i.m3u8"`,
    "",
  ].join("\n");

const media = (file: string, more: readonly string[] = []) =>
  [
    "#EXTM3U",
    "#EXT-X-VERSION:7",
    "#EXT-X-TARGETDURATION:7",
    "#EXT-X-PLAYLIST-TYPE:VOD",
    `#EXT-X-MAP:URI="${file}",BYTERANGE="734@49891"`,
    ...more,
    "#EXTINF:6.069,",
    "#EXT-X-BYTERANGE:1156001@250795",
    file,
    "#EXT-X-ENDLIST",
    "",
  ].join("\n");

const rewrite = (text: string, ending: string, keys = [A]) => rewriteArchivePlaylist(text, { ending, keys, link });

Deno.test("archive playlist: names of its files → links; all else unchanged", () => {
  const text = multivariant(A, 720);
  const expected = text.replace(/[ab]{32}\.\w+\.m3u8/g, link);
  assert.equal(unwrap(rewrite(text, ".m3u8")), expected);
  const list = media(`${A}.mp4`);
  assert.equal(unwrap(rewrite(list, ".v.m3u8")), list.replaceAll(`${A}.mp4`, link(`${A}.mp4`)));
  assert.equal(
    unwrap(rewrite(list.replaceAll("\n", "\r\n"), ".a12.m3u8")),
    list.replaceAll(`${A}.mp4`, link(`${A}.mp4`)),
  );
  const subtitles = `#EXTM3U\n#EXTINF:60.04,\n${A}.s0.vtt\n#EXT-X-ENDLIST\n`;
  assert.equal(unwrap(rewrite(subtitles, ".s0.m3u8")), subtitles.replace(`${A}.s0.vtt`, link(`${A}.s0.vtt`)));
});

Deno.test("archive playlist: any other name → refused", () => {
  const names = [
    ...["https://evil.test/a.mp4", "//evil.test/a.mp4", "/a.mp4", "../ep2/a.mp4", `./${A}.mp4`, `x/${A}.mp4`],
    ...[`%2e%2e/${A}.mp4`, `..%2f${A}.mp4`, `..\\${A}.mp4`, `${A}.mp4?x=1`, `${A}.mp4#x`, `${A}.mp4%00`, `${A} .mp4`],
    ...[`${B}.mp4`, `${A}.MP4`, `${A}.manifest`, `${A}.poster.jpg`, `${A}.m3u8`, `${A}.v.m3u8`, "data:video/mp4,x"],
    ...["notes.mp4", A, `${A}.`, `${A}..mp4`, `${A.slice(1)}.mp4`, `{$x}.mp4`, `${A}.mp4/`, "skd://key"],
  ];
  for (const name of names) {
    const result = rewrite(media(name), ".v.m3u8");
    assert.equal(!result.ok && result.error.code, "malformed", name);
    const line = rewrite(media(`${A}.mp4`).replace(`\n${A}.mp4`, `\n${name}`), ".v.m3u8");
    assert.deepEqual(!line.ok && [line.error.code, line.error.line], ["malformed", 8], name);
  }
  for (const name of [`${A}.mp4`, `${A}.m3u8`, `${A}.s0.vtt`, `${B}.a0.m3u8`, `${A}.poster.jpg`]) {
    assert.equal(rewrite(multivariant(A, 720).replace(`${A}.a0.m3u8`, name), ".m3u8").ok, false, name);
  }
  assert.equal(rewrite(media(`${A}.s0.vtt`), ".v.m3u8").ok, false);
  assert.equal(rewrite(media(`${A}.mp4`), ".s0.m3u8").ok, false);
});

Deno.test("archive playlist: other tags with a URL, variables → refused", () => {
  const tags = [
    '#EXT-X-KEY:METHOD=AES-128,URI="https://evil.test/k"',
    `#EXT-X-KEY:METHOD=AES-128,URI="${A}.mp4"`,
    `#EXT-X-SESSION-DATA:DATA-ID="x",URI="${A}.mp4"`,
    '#EXT-X-CONTENT-STEERING:SERVER-URI="https://evil.test/"',
    '#EXT-X-DATERANGE:ID="a",X-ASSET-URI="https://evil.test/ad.m3u8"',
    '#EXT-X-DATERANGE:ID="a",X-ASSET-LIST="https://evil.test/ad.json"',
    `#EXT-X-PART:DURATION=1,URI="${A}.mp4"`,
    `#EXT-X-MAP:URI="${A}.mp4",X-URI="https://evil.test/"`,
    `#EXT-X-MAP:URI=${A}.mp4`,
    `#EXT-X-MAP: uri ="https://evil.test/"`,
    '#EXT-X-DEFINE:NAME="x",VALUE="https://evil.test/"',
    "#EXTINF:x,",
  ];
  for (const tag of tags) {
    const result = rewrite(media(`${A}.mp4`, [tag]), ".v.m3u8");
    assert.equal(!result.ok && result.error.code, "malformed", tag);
  }
  const hidden = media(`${A}.mp4`, ['# a comment\r#EXT-X-KEY:METHOD=AES-128,URI="https://evil.test/k"']);
  assert.equal(rewrite(hidden, ".v.m3u8").ok, false);
  const comment = rewrite(media(`${A}.mp4`, ["#https://evil.test/"]), ".v.m3u8");
  assert.equal(comment.ok && comment.value.includes("evil"), false);
  const title = media(`${A}.mp4`).replace("6.069,", '6.069,#EXT-X-KEY:METHOD=AES-128,URI="https://evil.test/k"');
  assert.doesNotMatch(unwrap(rewrite(title, ".v.m3u8")), /evil/);
});

Deno.test("archive playlist: no playlist, too many lines or characters → refused", () => {
  assert.equal(rewrite("<html>", ".m3u8").ok, false);
  assert.equal(rewrite(`WEBVTT\n${A}.mp4\n`, ".v.m3u8").ok, false);
  const lines = rewrite(`#EXTM3U\n${"\n".repeat(200_000)}`, ".v.m3u8");
  assert.equal(!lines.ok && lines.error.code, "too_large");
  const long = rewriteArchivePlaylist(`#EXTM3U\n${`${A}.mp4\n`.repeat(50_000)}`, {
    ending: ".v.m3u8",
    keys: [A],
    link: () => "x".repeat(1000),
  });
  assert.equal(!long.ok && long.error.code, "too_large");
  const attributes = rewrite(`#EXTM3U\n#EXT-X-MAP:${"A=1,".repeat(300)}URI="${A}.mp4"\n`, ".v.m3u8");
  assert.equal(!attributes.ok && attributes.error.code, "too_large");
});

Deno.test("sprite index: its picture → links with areas; another name → refused", () => {
  const index = (name: string) =>
    `WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n${name}#xywh=0,0,160,90\n\n00:00:02.000 --> 00:00:04.000\n${name}#xywh=160,0,160,90\n`;
  const rewriteIndex = (text: string) => rewriteSpriteIndex(text, { ending: ".sprite.vtt", keys: [A], link });
  const text = unwrap(rewriteIndex(index(`${A}.sprite.jpg`)));
  assert.match(text, /^WEBVTT\n\n/);
  assert.deepEqual(text.split("\n").filter((line) => line.includes("xywh")), [
    `${link(`${A}.sprite.jpg`)}#xywh=0,0,160,90`,
    `${link(`${A}.sprite.jpg`)}#xywh=160,0,160,90`,
  ]);
  assert.equal(text.split("\n\n").length, 4, "a blank line after each cue");
  for (const name of [`${B}.sprite.jpg`, "https://evil.test/a.jpg", `../${A}.sprite.jpg`, `${A}.mp4`, "any text"]) {
    assert.equal(rewriteIndex(index(name)).ok, false, name);
  }
  assert.equal(rewriteIndex(index(`${A}.sprite.jpg`).replace("xywh=0,0", "t=https://evil.test")).ok, false);
  assert.equal(rewriteIndex("#EXTM3U\n").ok, false);
});

Deno.test("merged playlist: others' video → with the main file's audio and subtitles", () => {
  const merged = mergePlaylists(multivariant(A, 1080), [multivariant(B, 720), multivariant(C, 360)]);
  const playlist = unwrap(parsePlaylist(merged, new URL("https://archive.test/")));
  assert.ok(playlist.kind === "multivariant");
  assert.deepEqual(
    playlist.variants.map((
      { url, height, bandwidth, codecs, audio, subtitles },
    ) => [url.slice(-10), height, bandwidth, codecs, audio, subtitles]),
    [["aaa.v.m3u8", 1080], ["bbb.v.m3u8", 720], ["ccc.v.m3u8", 360]].map((
      [url, height],
    ) => [url, height, Number(height) * 1000, "avc1.64001F,mp4a.40.2", "aud", "sub"]),
  );
  assert.deepEqual(playlist.renditions.map(({ url }) => url!.slice(-12)), ["aaaa.a0.m3u8", "aaaa.s0.m3u8"]);
  assert.equal(merged.match(/I-FRAME-STREAM-INF/g)?.length, 3);
  assert.ok(unwrap(rewrite(merged, ".m3u8", [A, B, C])).includes(link(`${C}.v.m3u8`)));
});

Deno.test("merged playlist: two audio codecs → each variant once per codec", () => {
  const two = multivariant(A, 1080).replace(
    "#EXT-X-STREAM-INF",
    `#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS="avc1.64001F,ec-3",AUDIO="surround"\n${A}.v.m3u8\n#EXT-X-STREAM-INF`,
  );
  const other = multivariant(B, 720).replace("avc1.64001F,mp4a.40.2", "hvc1.1.6.L93.90,Opus");
  const playlist = unwrap(parsePlaylist(mergePlaylists(two, [other]), new URL("https://archive.test/")));
  assert.ok(playlist.kind === "multivariant");
  const theirs = playlist.variants.filter(({ height }) => height === 720);
  assert.deepEqual(theirs.map(({ audio, codecs }) => [audio, codecs]), [
    ["surround", "hvc1.1.6.L93.90,ec-3"],
    ["aud", "hvc1.1.6.L93.90,mp4a.40.2"],
  ]);
});

Deno.test("merged playlist: one without independent segments → the tag is removed", () => {
  const open = multivariant(B, 720).replace("#EXT-X-INDEPENDENT-SEGMENTS\n", "");
  assert.doesNotMatch(mergePlaylists(multivariant(A, 1080), [open]), /INDEPENDENT/);
  assert.match(mergePlaylists(multivariant(A, 1080), [multivariant(B, 720)]), /INDEPENDENT/);
});
