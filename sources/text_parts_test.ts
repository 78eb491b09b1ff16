// The small parsers that recipes and resolvers use.
import assert from "node:assert/strict";
import { findEpisodePage, parseEpisodeLabel } from "./page/episode_label.ts";
import { entryLines } from "./catalogue/entry_lines.ts";
import { expiryOf } from "./page/expiry.ts";
import { attribute, parseHtml, textOf } from "./page/html.ts";
import { iframeUrl } from "./page/iframe.ts";
import { mediaKind, mediaKindOfType } from "./page/media_kind.ts";
import { resolutionOf, serverLabel } from "./page/resolution.ts";
import { propertyStrings } from "./page/script_strings.ts";

const LABELS: readonly (readonly [string, string])[] = [
  ["Episode 12 [END]", "12–12"],
  ["Some Title 100 Episode 3", "3–3"],
  ["115 – 120", "115–120"],
  ["Eps. 7.5", "7.5–7.5"],
  ["24", "24–24"],
  ["12 End", "12–12"],
  ["Title Episode 01 (v2)", "1–1"],
  ["Movie", "movie"],
  ["OVA", "ova"],
  ["Some Title 100", "unknown"],
  ["", "unknown"],
];

for (const [text, expected] of LABELS) {
  Deno.test(`parseEpisodeLabel ${JSON.stringify(text)} → ${expected}`, () => {
    const label = parseEpisodeLabel(text);
    const parsed = label.kind === "episodes"
      ? `${label.from}–${label.to}`
      : label.kind === "special"
      ? label.name
      : label.kind;
    assert.equal(parsed, expected);
  });
}

Deno.test("findEpisodePage: own page and range → own page; 7.5 is not 7", () => {
  const list = [["1 – 12", "/range"], ["7", "/seven"], ["7.5", "/half"]].map(([text, page]) => ({
    label: parseEpisodeLabel(text!),
    page: page!,
  }));
  assert.deepEqual([7, 8, 13].map((episode) => findEpisodePage(list, episode)), ["/seven", "/range", null]);
});

Deno.test("serverLabel: informative site label → used; else the host's name", () => {
  assert.deepEqual(["720p [2]", "Full HD", "1080P", "x4720pixel", "0480p"].map(resolutionOf), [
    "720p",
    null,
    "1080p",
    null,
    "480p",
  ]);
  assert.equal(serverLabel("https://www.vidhidepro.test/v/1", "720p"), "Vidhidepro 720p");
  assert.equal(serverLabel("https://vidhidepro.test/v/1", "[3]"), "Vidhidepro");
  assert.equal(serverLabel("https://a.test/", "Pucuk 720p"), "Pucuk 720p");
  assert.equal(serverLabel("http://127.0.0.1:5/", "480p"), "127.0.0.1 480p");
});

Deno.test("mediaKind: extension or media type → kind; query → ignored", () => {
  assert.deepEqual(
    [
      "https://a.test/x.MP4?y=.m3u8",
      "https://a.test/m.m3u8#t",
      "https://a.test/x.mkv",
      "https://a.test/x.mpd",
      "https://a.test/x",
      "x.mp4",
    ]
      .map(mediaKind),
    ["mp4", "hls", "mkv", "dash", null, null],
  );
  assert.equal(mediaKindOfType("application/x-mpegURL; charset=utf-8"), "hls");
  assert.equal(mediaKindOfType("application/dash+xml"), "dash");
  assert.equal(mediaKindOfType("text/html"), null);
});

Deno.test("expiryOf: known query parameters → Unix seconds; others → null", () => {
  assert.equal(
    expiryOf("https://a.test/?X-Amz-Date=20260101T000000Z&X-Amz-Expires=3600"),
    Date.UTC(2026, 0, 1, 1) / 1000,
  );
  assert.equal(expiryOf("https://a.test/?Expires=1767225600"), 1767225600);
  assert.equal(expiryOf("https://a.test/?t=x&s=1767225600&e=10800"), 1767236400);
  for (
    const none of [
      "https://a.test/?e=5",
      "https://a.test/?expires=soon",
      "https://a.test/?X-Amz-Expires=60",
      "not a URL",
    ]
  ) {
    assert.equal(expiryOf(none), null);
  }
});

Deno.test("html: attribute in any case → found; text → blanks collapsed", async () => {
  const element = (await parseHtml(`<A HREF='/x' TITLE="a &amp; b">  one\n two </A>`)).querySelector("a")!;
  assert.deepEqual([attribute(element, "href"), attribute(element, "title"), textOf(element)], [
    "/x",
    "a & b",
    "one two",
  ]);
});

Deno.test("iframeUrl: bare, relative, nested → URL; script or empty → null", () => {
  const base = "https://site.test/a/";
  assert.equal(iframeUrl(" //player.test/e/1 ", base), "https://player.test/e/1");
  assert.equal(iframeUrl(`<p><iframe src="../e/1"></iframe></p>`, base), "https://site.test/e/1");
  for (const none of ["", "0", "hello", "<iframe src='javascript:x'></iframe>", "<iframe srcdoc='x'></iframe>"]) {
    assert.equal(iframeUrl(none, base), null);
  }
});

Deno.test("propertyStrings: quotes, escapes → values; part of a name → none", () => {
  const script = String.raw`a={file:"https:\/\/a.test\/x","src" : 'b\'c', profile:"no", file2:"no", file:` + "`d`" +
    String.raw`, file: 5, src:"\u0041"}`;
  assert.deepEqual(propertyStrings(script, ["file", "src"]).map((one) => one.value), [
    "https://a.test/x",
    "b'c",
    "d",
    "A",
  ]);
});

Deno.test("entryLines: elements with any content → the line of each", () => {
  assert.deepEqual(entryLines('[\n {"a":"]\\"\\n[,"},\n\n [1,\n2], 3\n,4]'), [2, 4, 5, 6]);
  assert.deepEqual(entryLines("[]"), []);
});
