import assert from "node:assert/strict";
import * as oracle from "hls-parser";
import {
  looksLikePlaylist,
  type MediaPlaylist,
  type MultivariantPlaylist,
  parsePlaylist,
  segmentIv,
} from "./playlist.ts";
import { unwrap } from "../result.ts";

const BASE = new URL("https://cdn.test/v/1/index.m3u8?t=5");

function media(text: string): MediaPlaylist {
  const playlist = unwrap(parsePlaylist(text, BASE));
  assert.equal(playlist.kind, "media");
  return playlist as MediaPlaylist;
}

function refusal(text: string): string {
  const result = parsePlaylist(text, BASE);
  return result.ok ? "ok" : result.error.code;
}

const VOD = `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:6
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-MAP:URI="init.mp4",BYTERANGE="800@0"
#EXT-X-KEY:METHOD=AES-128,URI="/k?a=1,b=2",IV=0x000102030405060708090a0b0c0d0e0f
#EXTINF:6.006,title, with "things"
#EXT-X-BYTERANGE:1000@800
all.mp4
#EXTINF:5,
#EXT-X-BYTERANGE:500
all.mp4
#EXT-X-DISCONTINUITY
#EXT-X-KEY:METHOD=AES-128,URI="k2"
#EXTINF:4,
../2/b%20c.ts?x=%2F
#EXT-X-GAP
#EXTINF:4
//other.test/d.ts
#EXT-X-KEY:METHOD=NONE
#EXTINF:1,
e.ts
#EXT-X-ENDLIST
`;

Deno.test("parsePlaylist: media playlist → segments with ranges, keys and maps", () => {
  const playlist = media(VOD);
  assert.equal(playlist.endList, true);
  assert.ok(Math.abs(playlist.durationSeconds - 20.006) < 1e-9);
  const [a, b, c, d, e] = playlist.segments;
  assert.deepEqual(playlist.segments.map((segment) => segment.sequence), [7n, 8n, 9n, 10n, 11n]);
  assert.equal(a!.url, "https://cdn.test/v/1/all.mp4");
  assert.deepEqual([a!.byteRange, b!.byteRange, c!.byteRange], [{ offset: 800, length: 1000 }, {
    offset: 1800,
    length: 500,
  }, null]);
  assert.equal(a!.map?.url, "https://cdn.test/v/1/init.mp4");
  assert.deepEqual(a!.map?.byteRange, { offset: 0, length: 800 });
  assert.equal(a!.key?.url, "https://cdn.test/k?a=1,b=2");
  assert.deepEqual([...segmentIv(a!)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
  assert.equal(c!.url, "https://cdn.test/v/2/b%20c.ts?x=%2F");
  assert.deepEqual([...segmentIv(c!)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
  assert.deepEqual([b!.discontinuity, c!.discontinuity], [0, 1]);
  assert.equal(d!.url, "https://other.test/d.ts");
  assert.deepEqual([d!.gap, e!.gap, e!.key], [true, false, null]);
});

Deno.test("parsePlaylist: URLs, durations, sequence numbers → as hls-parser", () => {
  const theirs = oracle.parse(VOD) as oracle.types.MediaPlaylist;
  const ours = media(VOD).segments;
  assert.deepEqual(ours.map((s) => s.url), theirs.segments.map((s) => new URL(s.uri, BASE).href));
  assert.deepEqual(ours.map((s) => s.durationSeconds), theirs.segments.map((s) => s.duration));
  assert.deepEqual(ours.map((s) => Number(s.sequence)), theirs.segments.map((s) => s.mediaSequenceNumber));
});

Deno.test("parsePlaylist: multivariant → variants, renditions, variables", () => {
  const text = `#EXTM3U
#EXT-X-DEFINE:NAME="host",VALUE="https://cdn2.test"
#EXT-X-DEFINE:QUERYPARAM="t"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="Japanese, stereo",LANGUAGE="ja",DEFAULT=YES,URI="ja.m3u8?t={$t}"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="id",LANGUAGE="id",URI="{$host}/id.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1280000,RESOLUTION=1280x720,CODECS="avc1.4d401f,mp4a.40.2",AUDIO="a",SUBTITLES="s",FRAME-RATE=23.976

720/index.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="i.m3u8"
`;
  const master = unwrap(parsePlaylist(text, BASE)) as MultivariantPlaylist;
  assert.deepEqual(master.variants, [{
    url: "https://cdn.test/v/1/720/index.m3u8",
    bandwidth: 1280000,
    width: 1280,
    height: 720,
    codecs: "avc1.4d401f,mp4a.40.2",
    frameRate: 23.976,
    audio: "a",
    subtitles: "s",
  }]);
  assert.deepEqual(master.renditions.map((r) => [r.type, r.name, r.language, r.url]), [
    ["AUDIO", "Japanese, stereo", "ja", "https://cdn.test/v/1/ja.m3u8?t=5"],
    ["SUBTITLES", "id", "id", "https://cdn2.test/id.m3u8"],
  ]);
  const child = '#EXTM3U\n#EXT-X-DEFINE:IMPORT="host"\n#EXTINF:1,\n{$host}/a.ts\n';
  const imported = unwrap(parsePlaylist(child, BASE, { variables: master.variables })) as MediaPlaylist;
  assert.equal(imported.segments[0]!.url, "https://cdn2.test/a.ts");
  assert.equal(refusal(child), "malformed");
});

Deno.test("parsePlaylist: CRLF, BOM, no last newline, U+2028 → parsed", () => {
  const playlist = media(
    "\uFEFF#EXTM3U\r\n#EXTINF:4,a\u2028b\r\n\r\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\r\na.ts\r\n#EXTINF:3,\r\nb.ts",
  );
  assert.deepEqual(playlist.segments.map((s) => [s.url, s.durationSeconds]), [
    ["https://cdn.test/v/1/a.ts", 4],
    ["https://cdn.test/v/1/b.ts", 3],
  ]);
  assert.equal(playlist.endList, false);
  assert.ok(
    looksLikePlaylist("#EXTM3U8".slice(0, 7)) && !looksLikePlaylist("#EXTM3U8") && !looksLikePlaylist("<html>"),
  );
});

Deno.test("parsePlaylist: malformed text → an error code", () => {
  assert.equal(refusal("<html>"), "not_a_playlist");
  for (const duration of ["-5", "1e9", "abc", "99999", ""]) {
    assert.equal(refusal(`#EXTM3U\n#EXTINF:${duration},\na.ts\n`), "malformed", duration);
  }
  assert.equal(refusal('#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0xzz\n#EXTINF:1,\na.ts\n'), "malformed");
  assert.equal(refusal("#EXTM3U\n#EXTINF:1,\n#EXT-X-BYTERANGE:5@x\na.ts\n"), "malformed");
  assert.equal(refusal("#EXTM3U\na.ts\n"), "malformed");
  assert.equal(refusal("#EXTM3U\n#EXTINF:1,\nhttp://[broken\n"), "malformed");
  assert.equal(refusal("#EXTM3U\n" + "#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n".repeat(300)), "too_large");
  assert.equal(refusal("#EXTM3U\n" + "#EXTINF:1,\na.ts\n".repeat(20_001)), "too_large");
  assert.equal(refusal("#EXTM3U\n" + "# x\n".repeat(400_000)), "too_large");
});

Deno.test("parsePlaylist: fast and slow resolution → as the URL parser", () => {
  const uris = [
    "a.ts",
    "../x.ts",
    "/x",
    "//h.test/x",
    "?q",
    "httpseg.ts",
    "HTTPS://H.test/A.ts",
    "a b.ts",
    "a:b.ts",
    "./a.ts",
    "..",
    ".",
    "x/./y/../z.ts?q=/../",
    "%2e%2e/a.ts",
    "a.ts#frag",
    "https:/x/a.ts",
    "https:x.ts",

    "a\\b.ts",
    "ü.ts?ü",
    "a?b:c",
    "https://h.test",
  ];
  const playlist = media("#EXTM3U\n" + uris.map((uri) => `#EXTINF:1,\n${uri}\n`).join(""));
  const expected = uris.map((uri) => {
    const url = new URL(uri, BASE);
    url.hash = "";
    return url.href;
  });
  assert.deepEqual(playlist.segments.map((segment) => segment.url), expected);
});
