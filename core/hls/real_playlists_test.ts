// Playlists as real hosts serve them, in the circumstances that m3u8-parser and hls.js test: what a player plays is parsed the same way,
// and what would lose bytes is refused.
import assert from "node:assert/strict";
import { type MediaPlaylist, type MultivariantPlaylist, parsePlaylist, type Segment, segmentIv } from "./playlist.ts";
import { unwrap } from "../result.ts";

const BASE = new URL("https://cdn.test/v/m.m3u8?t=5");

/** `a.ts 4`, with ` @offset+length`, ` t` and the number of preceding discontinuities, ` key` and ` map` where they are set. */
function describe({ url, durationSeconds, byteRange, discontinuity, key, map }: Segment): string {
  const parts = [url.replace("https://cdn.test/v/", ""), durationSeconds];
  if (byteRange !== null) parts.push(`@${byteRange.offset}+${byteRange.length}`);
  if (byteRange?.resourceLength !== undefined) parts.push(`of ${byteRange.resourceLength}`);
  if (discontinuity > 0) parts.push(`t${discontinuity}`);
  if (key !== null) parts.push(`key ${key.url.replace("https://cdn.test/v/", "")}`);
  if (map !== null) parts.push(`map ${map.url.replace("https://cdn.test/v/", "")}`);
  return parts.join(" ");
}

function media(text: string, typedAsHls = false): MediaPlaylist {
  const playlist = unwrap(parsePlaylist(text, BASE, { typedAsHls }));
  assert.equal(playlist.kind, "media");
  return playlist as MediaPlaylist;
}

const PLAYED: readonly (readonly [title: string, lines: readonly string[], segments: readonly string[]])[] = [
  ["no title and no comma", ["#EXTM3U", "#EXTINF:4", "a.ts"], ["a.ts 4"]],
  ["duration starts with a point", ["#EXTM3U", "#EXTINF:.500,", "a.ts"], ["a.ts 0.5"]],
  ["duration ends with a point", ["#EXTM3U", "#EXTINF:4.,", "a.ts"], ["a.ts 4"]],
  ["duration with 18 decimals", ["#EXTM3U", "#EXTINF:4.004000000000000001,", "a.ts"], ["a.ts 4.004"]],
  ["duration with 60 decimals", ["#EXTM3U", `#EXTINF:0.${"3".repeat(60)},`, "a.ts"], [`a.ts ${1 / 3}`]],
  ["duration with leading zeros", ["#EXTM3U", "#EXTINF:0004.5,", "a.ts"], ["a.ts 4.5"]],
  ["duration 0", ["#EXTM3U", "#EXTINF:0,", "a.ts"], ["a.ts 0"]],
  ["duration 0.000", ["#EXTM3U", "#EXTINF:0.000,", "a.ts", "#EXTINF:2,", "b.ts"], ["a.ts 0", "b.ts 2"]],
  ["white space around the duration", ["#EXTM3U", "#EXTINF: 4 \t,x", "a.ts"], ["a.ts 4"]],
  ["title after a space instead of a comma", ["#EXTM3U", "#EXTINF:4 My title", "a.ts"], ["a.ts 4"]],
  ["semicolon instead of the comma", ["#EXTM3U", "#EXTINF:4;", "a.ts"], ["a.ts 4"]],
  ["title with commas, quotes and braces", ["#EXTM3U", '#EXTINF:4,{"a":"b,c"},x', "a.ts"], ["a.ts 4"]],
  [
    "one unreadable EXTINF among good ones: the target duration",
    ["#EXTM3U", "#EXT-X-TARGETDURATION:6", "#EXTINF:4,", "a.ts", "#EXTINF:;)00,", "b.ts", "#EXTINF:5,", "c.ts"],
    ["a.ts 4", "b.ts 6", "c.ts 5"],
  ],
  ["an unreadable EXTINF before a good one", ["#EXTM3U", "#EXTINF:abc,", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["two EXTINF: the last one", ["#EXTM3U", "#EXTINF:9,", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["blank lines before the header", ["", "", "#EXTM3U", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["white space before the header", [" \t #EXTM3U", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["byte order mark and blank line before it", ["\uFEFF", "#EXTM3U", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["attributes after the header", ['#EXTM3U url-tvg="x"', "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["blank lines between tag and URL", ["#EXTM3U", "#EXTINF:4,", "", "  ", "a.ts"], ["a.ts 4"]],
  ["white space around URLs", ["#EXTM3U", "#EXTINF:4,", "\ta.ts  ", "#EXTINF:5,", "  b.ts"], ["a.ts 4", "b.ts 5"]],
  ["white space before tags", ["#EXTM3U", "  #EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["comment between tag and URL", ["#EXTM3U", "#EXTINF:4,", "# comment", "#comment", "a.ts"], ["a.ts 4"]],
  ["unknown tags", ["#EXTM3U", "#EXT-X-FOO:BAR=1", "#EXTINF:4,", "#EXT-X-BITRATE:9", "a.ts"], ["a.ts 4"]],
  ["empty TARGETDURATION", ["#EXTM3U", "#EXT-X-TARGETDURATION:", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["negative TARGETDURATION", ["#EXTM3U", "#EXT-X-TARGETDURATION:-3", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["TARGETDURATION is no number", ["#EXTM3U", "#EXT-X-TARGETDURATION:NaN", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["TARGETDURATION without a colon", ["#EXTM3U", "#EXT-X-TARGETDURATION", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  [
    "two TARGETDURATION, one of them late",
    ["#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:4,", "a.ts", "#EXT-X-TARGETDURATION:5", "#EXTINF:x,", "b.ts"],
    ["a.ts 4", "b.ts 5"],
  ],
  ["unreadable VERSION and PLAYLIST-TYPE", [
    ...["#EXTM3U", "#EXT-X-VERSION:x", "#EXT-X-PLAYLIST-TYPE:FOO", "#EXT-X-ALLOW-CACHE:", "#EXTINF:4,", "a.ts"],
  ], ["a.ts 4"]],
  ["unreadable date", ["#EXTM3U", "#EXT-X-PROGRAM-DATE-TIME:yesterday", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["unreadable date range", ["#EXTM3U", "#EXT-X-DATERANGE:ID=,=,", "#EXTINF:4,", "a.ts"], ["a.ts 4"]],
  ["ENDLIST before the last segments", [
    ...["#EXTM3U", "#EXTINF:4,", "a.ts", "#EXT-X-ENDLIST", "#EXTINF:5,", "b.ts"],
  ], ["a.ts 4", "b.ts 5"]],
  ["URL from the host's root", ["#EXTM3U", "#EXTINF:4,", "/s/a.ts"], ["https://cdn.test/s/a.ts 4"]],
  ["URL of another host", ["#EXTM3U", "#EXTINF:4,", "//b.test/a.ts"], ["https://b.test/a.ts 4"]],
  ["URL with a space, brackets, a comma", ["#EXTM3U", "#EXTINF:4,", "a [1],(2) b.ts"], ["a%20[1],(2)%20b.ts 4"]],
  ["the same URL twice", ["#EXTM3U", "#EXTINF:4,", "a.ts", "#EXTINF:5,", "a.ts"], ["a.ts 4", "a.ts 5"]],
  ["byte ranges", [
    ...["#EXTM3U", "#EXTINF:4,", "#EXT-X-BYTERANGE:100@0", "a.ts", "#EXTINF:4,", "#EXT-X-BYTERANGE:50@200", "a.ts"],
  ], ["a.ts 4 @0+100", "a.ts 4 @200+50"]],
  ["byte range before its EXTINF", ["#EXTM3U", "#EXT-X-BYTERANGE:9@5", "#EXTINF:4,", "a.ts"], ["a.ts 4 @5+9"]],
  ["byte ranges that continue", [
    ...["#EXTM3U", "#EXTINF:4,", "#EXT-X-BYTERANGE:100@20", "a.ts", "#EXTINF:4,", "#EXT-X-BYTERANGE:50", "a.ts"],
    ...["#EXTINF:4,", "#EXT-X-BYTERANGE: 7", "a.ts"],
  ], ["a.ts 4 @20+100", "a.ts 4 @120+50", "a.ts 4 @170+7"]],
  ["first byte range without an offset: right for one length only", [
    ...["#EXTM3U", "#EXTINF:4,", "#EXT-X-BYTERANGE:100", "a.ts", "#EXTINF:4,", "#EXT-X-BYTERANGE:50", "a.ts"],
  ], ["a.ts 4 @0+100 of 150", "a.ts 4 @100+50 of 150"]],
  ["range of another resource without an offset", [
    ...["#EXTM3U", "#EXTINF:4,", "#EXT-X-BYTERANGE:100@20", "a.ts", "#EXTINF:4,", "#EXT-X-BYTERANGE:50", "b.ts"],
  ], ["a.ts 4 @20+100", "b.ts 4 @0+50 of 50"]],
  ["first range without an offset, after its init section", [
    ...["#EXTM3U", '#EXT-X-MAP:URI="a.mp4",BYTERANGE="30@0"', "#EXTINF:4,", "#EXT-X-BYTERANGE:100", "a.mp4"],
  ], ["a.mp4 4 @30+100 of 130 map a.mp4"]],
  ["a segment with a range, then one without", [
    ...["#EXTM3U", "#EXTINF:4,", "#EXT-X-BYTERANGE:100@20", "a.ts", "#EXTINF:4,", "b.ts"],
  ], ["a.ts 4 @20+100", "b.ts 4"]],
  ["discontinuities, two of them in a row", [
    ...["#EXTM3U", "#EXTINF:4,", "a.ts", "#EXT-X-DISCONTINUITY", "#EXTINF:5,", "b.ts", "#EXT-X-DISCONTINUITY"],
    ...["#EXT-X-DISCONTINUITY", "#EXTINF:6,", "c.ts"],
  ], ["a.ts 4", "b.ts 5 t1", "c.ts 6 t3"]],
  ["unreadable DISCONTINUITY-SEQUENCE", [
    ...[
      "#EXTM3U",
      "#EXT-X-DISCONTINUITY-SEQUENCE:x",
      "#EXTINF:4,",
      "a.ts",
      "#EXT-X-DISCONTINUITY",
      "#EXTINF:5,",
      "b.ts",
    ],
  ], ["a.ts 4", "b.ts 5 t1"]],
  ["init sections, changed at a discontinuity", [
    ...["#EXTM3U", '#EXT-X-MAP:URI="i1.mp4"', "#EXTINF:4,", "a.m4s", "#EXT-X-DISCONTINUITY"],
    ...['#EXT-X-MAP:URI="i2.mp4"', "#EXTINF:5,", "b.m4s"],
  ], ["a.m4s 4 map i1.mp4", "b.m4s 5 t1 map i2.mp4"]],
  ["keys: clear, encrypted, another, clear again", [
    ...["#EXTM3U", "#EXTINF:1,", "a.ts", '#EXT-X-KEY:METHOD=AES-128,URI="k1"', "#EXTINF:2,", "b.ts"],
    ...['#EXT-X-KEY:METHOD=AES-128,URI="k2"', "#EXTINF:3,", "c.ts", "#EXT-X-KEY:METHOD=NONE", "#EXTINF:4,", "d.ts"],
  ], ["a.ts 1", "b.ts 2 key k1", "c.ts 3 key k2", "d.ts 4"]],
  ["key as a data: URL", [
    ...["#EXTM3U", '#EXT-X-KEY:METHOD=AES-128,URI="data:application/octet-stream;base64,AAECAwQFBgcICQoLDA0ODw=="'],
    ...["#EXTINF:4,", "a.ts"],
  ], ["a.ts 4 key data:application/octet-stream;base64,AAECAwQFBgcICQoLDA0ODw=="]],
  ["key attributes in any order, with spaces", [
    ...["#EXTM3U", '#EXT-X-KEY: URI="k,1", IV=0x1 ,METHOD=AES-128', "#EXTINF:4,", "a.ts"],
  ], ["a.ts 4 key k,1"]],
  ["a rendition's tag in a media playlist", [
    ...["#EXTM3U", '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x"', "#EXTINF:4,", "a.ts"],
  ], ["a.ts 4"]],
  ["header only", ["#EXTM3U"], []],
];

for (const [title, lines, segments] of PLAYED) {
  for (const [ends, newline] of [["LF", "\n"], ["CRLF", "\r\n"]]) {
    Deno.test(`playlist, ${ends}: ${title} → parsed`, () => {
      assert.deepEqual(media(lines.join(newline)).segments.map(describe), segments);
    });
  }
}

const SEQUENCES: readonly (readonly [value: string, first: bigint])[] = [
  ["7", 7n],
  ["0007", 7n],
  [" 7 ", 7n],
  ["1234567890123456789", 1234567890123456789n],
  ["18446744073709551615", 18446744073709551615n],
  ["18446744073709551616", 0n],
  ["", 0n],
  ["-11", 0n],
  ["1.5", 0n],
  ["gobblegobble", 0n],
];

for (const [value, first] of SEQUENCES) {
  Deno.test(`MEDIA-SEQUENCE "${value}" → first segment ${first}`, () => {
    const { segments } = media(`#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:${value}\n#EXTINF:1,\na.ts\n`);
    assert.equal(segments[0]!.sequence, first);
  });
}

Deno.test("MEDIA-SEQUENCE of 19 digits → the IV has all of them", () => {
  const { segments } = media("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1234567890123456788\n" + "#EXTINF:1,\na.ts\n".repeat(2));
  assert.equal(segmentIv(segments[1]!).toHex(), "0000000000000000112210f47de98115");
});

Deno.test("MEDIA-SEQUENCE twice → the last one before the first segment", () => {
  const twice = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:3\n#EXT-X-MEDIA-SEQUENCE:11\n#EXTINF:1,\na.ts\n";
  const late = `${twice}#EXT-X-MEDIA-SEQUENCE:50\n#EXTINF:1,\nb.ts\n`;
  assert.deepEqual(media(late).segments.map(({ sequence }) => sequence), [11n, 12n]);
});

const REFUSED: readonly (readonly [title: string, lines: readonly string[], reason: RegExp])[] = [
  ["empty text", [], /#EXTM3U/],
  ["no header", ["#EXTINF:4,", "a.ts"], /#EXTM3U/],
  ["header in the second place", ["#EXTINF:4,", "#EXTM3U", "a.ts"], /#EXTM3U/],
  ["#EXTM3U8", ["#EXTM3U8", "#EXTINF:4,", "a.ts"], /#EXTM3U/],
  ["a web page", ["<!doctype html>", "#EXTM3U"], /#EXTM3U/],
  ["a segment without EXTINF", ["#EXTM3U", "#EXT-X-TARGETDURATION:4", "#EXTINF:4,", "a.ts", "b.ts"], /without #EXTINF/],
  ["an unreadable EXTINF, no target duration", ["#EXTM3U", "#EXTINF:abc,", "a.ts"], /abc, is not a duration/],
  ["a segment of an hour and more", ["#EXTM3U", "#EXT-X-TARGETDURATION:4", "#EXTINF:4000,", "a.ts"], /hour/],
  ["unreadable byte range", ["#EXTM3U", "#EXTINF:4,", "#EXT-X-BYTERANGE:@5", "a.ts"], /byte range @5/],
  ["byte range with a negative offset", ["#EXTM3U", "#EXTINF:4,", "#EXT-X-BYTERANGE:9@-5", "a.ts"], /byte range/],
  ["key without METHOD", ["#EXTM3U", '#EXT-X-KEY:URI="k"', "#EXTINF:4,", "a.ts"], /METHOD/],
  ["key without URI", ["#EXTM3U", "#EXT-X-KEY:METHOD=AES-128", "#EXTINF:4,", "a.ts"], /URI/],
  ["key without attributes", ["#EXTM3U", "#EXT-X-KEY:", "#EXTINF:4,", "a.ts"], /METHOD/],
  ["key with an unreadable URL", ["#EXTM3U", '#EXT-X-KEY:METHOD=AES-128,URI="http://["', "#EXTINF:4,", "a.ts"], /URL/],
  ["init section without URI", ["#EXTM3U", "#EXT-X-MAP:", "#EXTINF:4,", "a.ts"], /URI/],
  [
    "init section with an unreadable range",
    ["#EXTM3U", '#EXT-X-MAP:URI="i",BYTERANGE="x"', "#EXTINF:4,", "a.ts"],
    /range/,
  ],
  ["a segment's unreadable URL", ["#EXTM3U", "#EXTINF:4,", "http://[", "#EXTINF:4,", "a.ts"], /URL/],
  ["variants and segments", ["#EXTM3U", "#EXT-X-STREAM-INF:", "a.m3u8", "#EXTINF:4,", "a.ts"], /variants and segments/],
  ["no variant can be read", ["#EXTM3U", "#EXT-X-STREAM-INF:BANDWIDTH=1", "http://["], /a variant: a URL/],
  ["a variant's tag without a URL", ["#EXTM3U", "#EXT-X-STREAM-INF:BANDWIDTH=1"], /no variant/],
];

for (const [title, lines, reason] of REFUSED) {
  Deno.test(`playlist: ${title} → refused`, () => {
    const parsed = parsePlaylist(lines.join("\n"), BASE);
    assert.ok(!parsed.ok);
    assert.match(parsed.error.reason, reason);
  });
}

Deno.test("playlist: no header → parsed if the media type is HLS and it has tags", () => {
  assert.deepEqual(media("\n#EXTINF:4,\na.ts\n", true).segments.map(describe), ["a.ts 4"]);
  for (const text of ["<html>", "a.ts\n", "", "# EXTM3U\n"]) {
    assert.ok(!parsePlaylist(text, BASE, { typedAsHls: true }).ok, text);
  }
});

/** `720.m3u8 1280x720 500`, the skipped messages, and the renditions' names. */
function variants(lines: readonly string[]) {
  const playlist = unwrap(parsePlaylist(lines.join("\n"), BASE)) as MultivariantPlaylist;
  assert.equal(playlist.kind, "multivariant");
  const list = playlist.variants.map(({ url, width, height, bandwidth }) =>
    `${url.replace("https://cdn.test/v/", "")} ${width}x${height} ${bandwidth}`
  );
  return { list, skipped: playlist.skipped, renditions: playlist.renditions.map(({ name }) => name) };
}

const INF = "#EXT-X-STREAM-INF:";

const MULTIVARIANT: readonly (readonly [string, readonly string[], Partial<ReturnType<typeof variants>>])[] = [
  ["no attributes", [INF, "a.m3u8"], { list: ["a.m3u8 nullxnull 0"] }],
  ["unreadable BANDWIDTH", [`${INF}BANDWIDTH=x,RESOLUTION=4x3`, "a.m3u8"], { list: ["a.m3u8 4x3 0"] }],
  ["unreadable RESOLUTION", [`${INF}BANDWIDTH=5,RESOLUTION=HD`, "a.m3u8"], { list: ["a.m3u8 nullxnull 5"] }],
  ["RESOLUTION with a capital X", [`${INF}BANDWIDTH=5,RESOLUTION=4X3`, "a.m3u8"], { list: ["a.m3u8 4x3 5"] }],
  ["a comment before the URL", [`${INF}BANDWIDTH=5`, "# x", "", "a.m3u8"], { list: ["a.m3u8 nullxnull 5"] }],
  ["the same variant twice (redundant)", [`${INF}BANDWIDTH=5`, "a.m3u8", `${INF}BANDWIDTH=5`, "//b.test/a.m3u8"], {
    list: ["a.m3u8 nullxnull 5", "https://b.test/a.m3u8 nullxnull 5"],
  }],
  ["one unreadable variant", [`${INF}BANDWIDTH=9`, "http://[", `${INF}BANDWIDTH=5`, "a.m3u8"], {
    list: ["a.m3u8 nullxnull 5"],
    skipped: ["a variant: a URL that cannot be parsed"],
  }],
  ["a rendition of an unknown type", ['#EXT-X-MEDIA:TYPE=X,NAME="a"', `${INF}BANDWIDTH=5`, "a.m3u8"], {
    renditions: [],
    skipped: ["#EXT-X-MEDIA of an unknown TYPE"],
  }],
  ["a rendition without attributes", ["#EXT-X-MEDIA:", `${INF}BANDWIDTH=5`, "a.m3u8"], { renditions: [] }],
  ["subtitles with an unreadable URL", [
    ...['#EXT-X-MEDIA:TYPE=SUBTITLES,NAME="id",URI="http://["', '#EXT-X-MEDIA:TYPE=SUBTITLES,NAME="en",URI="en"'],
    ...[`${INF}BANDWIDTH=5`, "a.m3u8"],
  ], { renditions: ["en"], skipped: ["SUBTITLES: a URL that cannot be parsed"] }],
  ["several audio groups", [
    ...[
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="lo",NAME="ja lo",URI="1"',
      '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="hi",NAME="ja"',
    ],
    ...[`${INF}BANDWIDTH=5,AUDIO="lo"`, "a.m3u8"],
  ], { renditions: ["ja lo", "ja"] }],
];

for (const [title, lines, expected] of MULTIVARIANT) {
  Deno.test(`multivariant playlist: ${title} → parsed`, () => {
    const found = variants(["#EXTM3U", ...lines]);
    assert.deepEqual({ ...found, ...expected }, found);
  });
}

Deno.test("multivariant playlist: audio with an unreadable URL → refused", () => {
  const text = '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",URI="http://["\n#EXT-X-STREAM-INF:AUDIO="a"\na.m3u8\n';
  assert.ok(!parsePlaylist(text, BASE).ok);
});
