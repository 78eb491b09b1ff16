import assert from "node:assert/strict";
import { unwrap } from "../result.ts";
import { parseDuration, parseMpd } from "./mpd.ts";
import { type DashSegments, type SegmentOptions, segmentsOf } from "./segments.ts";
import { fillTemplate } from "./template.ts";

const BASE = new URL("https://cdn.test/v/m.mpd?token=1");

function parse(body: string, attributes = 'type="static" mediaPresentationDuration="PT10S"') {
  return unwrap(parseMpd(`<?xml version="1.0"?>\n<MPD ${attributes}>${body}</MPD>`, BASE));
}

/** `info` inside one representation of a period of 10 s. */
function listed(info: string, options: Partial<SegmentOptions> = {}, before = ""): DashSegments {
  const mpd = parse(
    `${before}<Period><AdaptationSet mimeType="video/mp4"><Representation id="v 1" bandwidth="900">${info}</Representation></AdaptationSet></Period>`,
  );
  const { durationSeconds, sets: [set] } = mpd.periods[0]!;
  return unwrap(segmentsOf(set!.representations[0]!, { durationSeconds, maxSegments: 100, ...options }));
}

function names(segments: DashSegments): string[] {
  assert.equal(segments.kind, "listed");
  return segments.kind === "listed"
    ? segments.segments.map(({ url, durationSeconds }) =>
      `${url.replace("https://cdn.test/v/", "")} ${durationSeconds}`
    )
    : [];
}

Deno.test("duration: ISO 8601 → seconds, anything else → null", () => {
  assert.deepEqual(
    ["PT1H2M3.5S", "P1DT1S", "PT0S", "PT634.566S", "P1Y2M", "10", "PT-1S", null].map(parseDuration),
    [3723.5, 86401, 0, 634.566, (365 + 60) * 86400, null, null, null],
  );
});

Deno.test("template: every identifier, widths and $$ → filled in", () => {
  const values = { id: "v 1", bandwidth: 900, number: 7n, time: 90071992547409931n };
  assert.equal(
    fillTemplate("$RepresentationID$/$Number$-$Number%05d$-$Time$-$Bandwidth%06d$-$$1-$Other$", values),
    "v 1/7-00007-90071992547409931-000900-$1-$Other$",
  );
});

Deno.test("segments: @duration → as many as the period needs, the last shorter", () => {
  const info =
    '<SegmentTemplate timescale="10" duration="40" startNumber="0" media="s$Number$.m4s" initialization="i.mp4"/>';
  assert.deepEqual(names(listed(info)), ["s0.m4s 4", "s1.m4s 4", "s2.m4s 2"]);
  assert.equal(names(listed(info, { durationSeconds: 8.0004 })).length, 2, "a rounded duration adds no segment");
  assert.equal(names(listed(info.replace("startNumber", 'endNumber="1" startNumber'))).length, 2);
});

Deno.test("segments: SegmentTimeline with repeats, gaps and r=-1 → their times", () => {
  const info = (entries: string, more = "") =>
    `<SegmentTemplate timescale="10" media="$Time$" ${more}><SegmentTimeline>${entries}</SegmentTimeline></SegmentTemplate>`;
  assert.deepEqual(names(listed(info('<S t="5" d="20" r="1"/><S t="60" d="10"/>'))), ["5 2", "25 2", "60 1"]);
  assert.deepEqual(names(listed(info('<S d="30" r="-1"/>'))), ["0 3", "30 3", "60 3", "90 3"]);
  assert.deepEqual(names(listed(info('<S d="30" r="-1"/><S t="60" d="40"/>'))), ["0 3", "30 3", "60 4"]);
  const offset = info('<S t="970" d="30" r="9"/>', 'presentationTimeOffset="1000"');
  assert.deepEqual(names(listed(offset)), ["1000 3", "1030 3", "1060 3", "1090 3"], "only those in the period");
});

Deno.test("segments: attributes at three levels → the lowest one holds", () => {
  const mpd = parse(
    '<BaseURL>a/</BaseURL><Period><SegmentTemplate timescale="10" startNumber="3" media="period"/>' +
      '<AdaptationSet mimeType="video/mp4"><SegmentTemplate duration="50" initialization="set-$RepresentationID$.mp4"/>' +
      '<BaseURL>b/</BaseURL><Representation id="x"><SegmentTemplate media="$Number$.m4s"/><BaseURL>/c/</BaseURL></Representation>' +
      '<Representation id="y"/></AdaptationSet></Period>',
  );
  const [x, y] = mpd.periods[0]!.sets[0]!.representations.map((one) =>
    unwrap(segmentsOf(one, { durationSeconds: 10, maxSegments: 100 }))
  );
  assert.ok(x?.kind === "listed" && y?.kind === "listed");
  assert.deepEqual([x.init!.url, ...x.segments.map(({ url }) => url)], [
    "https://cdn.test/c/set-x.mp4",
    "https://cdn.test/c/3.m4s",
    "https://cdn.test/c/4.m4s",
  ]);
  assert.equal(y.init!.url, "https://cdn.test/v/a/b/set-y.mp4");
  assert.equal(y.segments[0]!.url, "https://cdn.test/v/a/b/period");
});

Deno.test("segments: SegmentList with ranges → byte spans of the file", () => {
  const list = listed(
    '<BaseURL>f.mp4?t=1</BaseURL><SegmentList duration="5"><Initialization range="0-99"/><SegmentURL mediaRange="100-149"/><SegmentURL media="g.mp4"/></SegmentList>',
  );
  assert.ok(list.kind === "listed");
  assert.deepEqual(list.init, { url: "https://cdn.test/v/f.mp4?t=1", byteRange: { offset: 0, length: 100 } });
  assert.deepEqual(list.segments.map(({ url, byteRange }) => [url, byteRange]), [
    ["https://cdn.test/v/f.mp4?t=1", { offset: 100, length: 50 }],
    ["https://cdn.test/v/g.mp4", null],
  ]);
});

Deno.test("segments: alternatives of BaseURL → by index, the last one beyond", () => {
  const info = '<SegmentTemplate duration="10" media="1.m4s"/>';
  const bases = "<BaseURL>https://a.test/</BaseURL><BaseURL>https://b.test/</BaseURL>";
  const urls = [0, 1, 2].map((alternative) => {
    const list = listed(info, { alternative }, bases);
    return list.kind === "listed" ? list.segments[0]!.url : "";
  });
  assert.deepEqual(urls, ["https://a.test/1.m4s", "https://b.test/1.m4s", "https://b.test/1.m4s"]);
});

for (
  const [name, info, code] of [
    ["a duration of 0", '<SegmentTemplate duration="0" media="$Number$"/>', "malformed"],
    ["a timescale of 0", '<SegmentTemplate timescale="0" duration="1" media="$Number$"/>', "malformed"],
    ["a negative timescale", '<SegmentTemplate timescale="-1" duration="1" media="$Number$"/>', "malformed"],
    ["a number in words", '<SegmentTemplate duration="ten" media="$Number$"/>', "malformed"],
    ["no media", '<SegmentTemplate duration="1"/>', "malformed"],
    [
      "a billion repeats",
      '<SegmentTemplate media="$Time$"><SegmentTimeline><S d="1" r="999999999"/></SegmentTimeline></SegmentTemplate>',
      "too_large",
    ],
    [
      "repeats without end",
      '<SegmentTemplate timescale="1000000" media="$Time$"><SegmentTimeline><S d="1" r="-1"/></SegmentTimeline></SegmentTemplate>',
      "too_large",
    ],
    ["a segment per tick", '<SegmentTemplate timescale="1000000000" duration="1" media="$Number$"/>', "too_large"],
    ["an impossible URL", '<SegmentTemplate duration="10" media="http://[/"/>', "malformed"],
  ] as const
) {
  Deno.test(`segments: ${name} → ${code}`, () => {
    const mpd = parse(`<Period><AdaptationSet><Representation>${info}</Representation></AdaptationSet></Period>`);
    const result = segmentsOf(mpd.periods[0]!.sets[0]!.representations[0]!, { durationSeconds: 10, maxSegments: 100 });
    assert.equal(result.ok ? "accepted" : result.error.code, code);
  });
}

Deno.test("periods: starts and durations, stated or from their neighbours", () => {
  const set = "<AdaptationSet><Representation/></AdaptationSet>";
  const mpd = parse(
    `<Period id="1">${set}</Period><Period start="PT4S" duration="PT3S">${set}</Period><Period duration="PT0S"/><Period>${set}</Period>`,
  );
  assert.deepEqual(mpd.periods.map(({ startSeconds, durationSeconds }) => [startSeconds, durationSeconds]), [
    [0, 4],
    [4, 3],
    [7, 3],
  ]);
});

Deno.test("sets: type, language, roles, size, protection; trick play is left out", () => {
  const [video, audio, trick, text] = parse(
    '<Period><AdaptationSet mimeType="video/mp4" width="1920" height="1080" frameRate="30000/1001"><Representation id="a" codecs="avc1.640028" bandwidth="5000000"/></AdaptationSet>' +
      '<AdaptationSet contentType="audio" lang="ja"><Label>Japanese</Label><Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/><ContentProtection schemeIdUri="urn:uuid:EDEF8BA9-79D6-4ACE-A3C8-27DCD51D21ED"/><Representation/></AdaptationSet>' +
      '<AdaptationSet contentType="video"><EssentialProperty schemeIdUri="http://dashif.org/guidelines/trickmode" value="1"/><Representation/></AdaptationSet>' +
      '<AdaptationSet mimeType="application/mp4" codecs="wvtt"><Representation/></AdaptationSet></Period>',
  ).periods[0]!.sets;
  const { width, height, frameRate, codecs, bandwidth } = video!.representations[0]!;
  assert.deepEqual([video!.contentType, width, height, frameRate, codecs, bandwidth], [
    "video",
    1920,
    1080,
    30000 / 1001,
    "avc1.640028",
    5_000_000,
  ]);
  assert.deepEqual([audio!.contentType, audio!.language, audio!.label, audio!.roles], ["audio", "ja", "Japanese", [
    "main",
  ]]);
  assert.deepEqual(audio!.representations[0]!.protection, ["Widevine"]);
  assert.deepEqual(trick!.representations, []);
  assert.equal(text!.contentType, "text");
});
