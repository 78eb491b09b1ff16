// Subtitles of HLS streams, compared with the text track of the archive's file.
import assert from "node:assert/strict";
import { type ClockedClip, clockedClip, TS_WRAP_SECONDS } from "../../dev/testing/clocked_clip.ts";
import { type Host, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { textInit, textSegment, utf8, wvttSample } from "../../dev/testing/text_mp4.ts";
import { parseWebVtt } from "../subtitles/web_vtt.ts";

type Body = string | Uint8Array<ArrayBuffer> | null;

const SEGMENT_SECONDS = 4;

/** A host with the clip and one subtitle rendition; null: a segment that responds with 404. */
function host(clip: ClockedClip, subtitles: readonly Body[], init?: Uint8Array<ArrayBuffer>) {
  const master = [
    "#EXTM3U",
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",DEFAULT=YES,URI="s.m3u8"',
    '#EXT-X-STREAM-INF:BANDWIDTH=100000,CODECS="avc1.42c01e,mp4a.40.2",SUBTITLES="s"',
    "v.m3u8",
  ].join("\n");
  const list = [
    "#EXTM3U",
    "#EXT-X-VERSION:7",
    `#EXT-X-TARGETDURATION:${SEGMENT_SECONDS}`,
    ...(init === undefined ? [] : ['#EXT-X-MAP:URI="text_init.mp4"']),
    ...subtitles.flatMap((_, i) => [`#EXTINF:${SEGMENT_SECONDS},`, `text${i}`]),
    "#EXT-X-ENDLIST",
  ].join("\n");
  const files = new Map<string, Body>([
    ...clip.files,
    ["/master.m3u8", master],
    ["/s.m3u8", list],
    ["/text_init.mp4", init ?? null],
    ...subtitles.map((body, i) => [`/text${i}`, body] as const),
  ]);
  return (path: string) => {
    const body = files.get(path) ?? null;
    return body === null ? new Response(null, { status: 404 }) : new Response(body);
  };
}

/** Start, end and text of each cue in the archive's file; null without a text track. */
type Cues = (readonly [number, number, string])[] | null;

async function archivedCues(
  clip: ClockedClip,
  subtitles: readonly Body[],
  init?: Uint8Array<ArrayBuffer>,
): Promise<Cues> {
  return (await archived(host(clip, subtitles, init))).cues;
}

/** `leftOut`: the codes in the archive's row. */
async function archived(serve: Host, seconds = 12): Promise<{ cues: Cues; leftOut: string[]; subtitleTracks: number }> {
  await using fixture = await startFetchFixture(serve);
  const { final, durationSeconds, media } = await fixture.fetch("/master.m3u8");
  const leftOut = media.left_out.map(({ kind, code }) => `${kind} ${code}`);
  const subtitleTracks = media.tracks.filter(({ type }) => type === "subtitles").length;
  assert.ok(Math.abs(durationSeconds - seconds) < 0.2, `${durationSeconds} s`);
  const { code, stdout } = await new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", "-i", final.path, "-map", "0:s:0", "-c:s", "webvtt", "-f", "webvtt", "-"],
    stderr: "null",
  }).output();
  if (code !== 0) return { cues: null, leftOut, subtitleTracks };
  const { cues } = parseWebVtt(new TextDecoder().decode(stdout))!;
  return { cues: cues.map(({ start, end, text }) => [start, end, text]), leftOut, subtitleTracks };
}

/** Times within 50 ms: audio that starts before the video moves both. */
function assertCues(
  actual: Cues,
  expected: readonly (readonly [number, number, string])[],
): void {
  const text = JSON.stringify(actual);
  assert.deepEqual(actual?.map((cue) => cue[2]), expected.map((cue) => cue[2]), text);
  for (const [i, [start, end]] of expected.entries()) {
    assert.ok(Math.abs(actual![i]![0] - start) < 0.05 && Math.abs(actual![i]![1] - end) < 0.05, text);
  }
}

const WRAPPING = TS_WRAP_SECONDS - 4;
const wrapping = await clockedClip("ts", { startSeconds: WRAPPING });
const late = await clockedClip("fmp4", { startSeconds: 10 });

const cue = (start: string, end: string, text: string) => `${start} --> ${end}\n${text}\n`;
const mapped = (ticks: number, cues: string) => `WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:${ticks},LOCAL:00:00:00.000\n\n${cues}`;

const ONE_FIVE_NINE = [[1, 2, "One"], [5, 6, "five"], [9, 10, "nine"]] as const;

Deno.test("subtitles: a map per segment, the clock wraps after 4 s → 1, 5, 9 s", async () => {
  const ticks = (seconds: number) => Math.round(((WRAPPING + seconds) % TS_WRAP_SECONDS) * 90_000);
  const segments = ["One", "five", "nine"].map((text, i) => mapped(ticks(4 * i), cue("00:01.000", "00:02.000", text)));
  assertCues(await archivedCues(wrapping, segments), ONE_FIVE_NINE);
});

Deno.test("subtitles: fMP4 from 10 s, cues on its clock → from 0", async () => {
  const segments = [cue("00:11.000", "00:12.000", "One"), cue("00:15.000", "00:16.000", "five")];
  assertCues(await archivedCues(late, segments.map((text) => `WEBVTT\n\n${text}`)), ONE_FIVE_NINE.slice(0, 2));
});

Deno.test("subtitles: a discontinuity with another clock → each part's own", async () => {
  const second = await clockedClip("ts", { startSeconds: 500 });
  const first = await clockedClip("ts", { startSeconds: 10 });
  const lines = new TextDecoder().decode(first.files.get("/v.m3u8")).split("#EXT-X-ENDLIST")[0]!;
  const more = [0, 1, 2].flatMap((i) => ["#EXTINF:4,", `t${i}.ts`]);
  const files = new Map([
    ...first.files,
    ...[0, 1, 2].map((i) => [`/t${i}.ts`, second.files.get(`/s${i}.ts`)!] as const),
    ["/v.m3u8", utf8([`${lines}#EXT-X-DISCONTINUITY`, ...more, "#EXT-X-ENDLIST"].join("\n"))],
  ]);
  const segments = [0, 1, 2, 3, 4, 5].map((i) => {
    const start = i < 3 ? 10 + 4 * i : 500 + 4 * (i - 3);
    return mapped(start * 90_000, cue("00:01.000", "00:02.000", `${i}`));
  });
  const serve = host({ files }, segments);
  const list = await serve("/s.m3u8").text();
  const tagged = list.replace("#EXTINF:4,\ntext3", "#EXT-X-DISCONTINUITY\n#EXTINF:4,\ntext3");
  const expected = segments.map((_, i) => [4 * i + 1, 4 * i + 2, `${i}`] as const);
  for (const text of [tagged, list]) { // with and without the tag in the playlist of the subtitles
    const { cues } = await archived((path) => path === "/s.m3u8" ? new Response(text) : serve(path), 24);
    assertCues(cues, expected);
  }
});

Deno.test("subtitles: as ffmpeg's HLS muxer writes them → at their times", async () => {
  const clip = await clockedClip("ts", { startSeconds: 1.4 });
  const segments = ["One", "five", "nine"].map((text, i) =>
    `WEBVTT\n\n${cue(`00:0${4 * i + 1}.000`, `00:${i < 2 ? "0" : ""}${4 * i + 2}.000`, text)}`
  );
  assertCues(await archivedCues(clip, segments), ONE_FIVE_NINE);
});

Deno.test("subtitles: wvtt in fMP4 → cues, split ones joined", async () => {
  const segment = (start: number, ...samples: [number, ...string[]][]) =>
    textSegment({
      start: start * 1000,
      samples: samples.map(([duration, ...texts]) => ({ duration, bytes: wvttSample(...texts) })),
    });
  const segments = [
    segment(10, [1000], [1000, "One"], [2000]),
    segment(14, [1000], [1000, "five"], [1500], [500, "split"]),
    segment(18, [1000, "split"], [3000]),
  ];
  const expected = [...ONE_FIVE_NINE.slice(0, 2), [7.5, 9, "split"] as const];
  assertCues(await archivedCues(late, segments, textInit("wvtt")), expected);
});

Deno.test("subtitles: stpp in fMP4 → cues with their lines", async () => {
  const segment = (start: number, p: string) => {
    const bytes = utf8(`<tt xmlns="http://www.w3.org/ns/ttml"><body><div>${p}</div></body></tt>`);
    return textSegment({ start: start * 1000, samples: [{ duration: 4000, bytes }] });
  };
  const segments = [
    segment(10, '<p begin="00:00:11" end="00:00:12">One<br/>&amp; two</p>'),
    segment(14, '<p begin="00:00:15" end="00:00:16">five</p>'),
  ];
  const expected = [[1, 2, "One\n& two"], [5, 6, "five"]] as const;
  assertCues(await archivedCues(late, segments, textInit("stpp")), expected);
});

Deno.test("subtitles: segments empty, 404, unreadable → a gap, the rest is kept", async () => {
  const map = (i: number, text: string) =>
    mapped(Math.round((10 + 4 * i) * 90_000), cue("00:01.000", "00:02.000", text));
  const cases = [
    [null, "not_found"],
    ["", "empty"],
    ["not found", "unreadable"],
    [new Uint8Array([0xff, 0xfe, 0x57, 0]), "unreadable"],
  ] as const;
  for (const [missing, code] of cases) {
    const { cues, leftOut, subtitleTracks } = await archived(host(late, [map(0, "One"), missing, map(2, "nine")]));
    assertCues(cues, [ONE_FIVE_NINE[0], ONE_FIVE_NINE[2]]);
    assert.deepEqual([leftOut, subtitleTracks], [[`subtitles ${code}`], 1]);
  }
});

Deno.test("subtitles: 40 segments 404 → one refresh, few repetitions", async () => {
  const segments = Array.from({ length: 40 }, () => null);
  await using fixture = await startFetchFixture(host(late, segments));
  await fixture.fetch("/master.m3u8");
  const requests = (prefix: string) => fixture.asked.filter((path) => path.startsWith(prefix)).length;
  assert.ok(requests("/master") <= 3, `${requests("/master")} requests of the playlist`);
  assert.ok(requests("/text") <= 120, `${requests("/text")} requests of segments`);
});

Deno.test("subtitles: a segment fails once → fetched again, kept", async () => {
  const segments = ["One", "five"].map((text, i) =>
    `WEBVTT\n\n${cue(`00:${11 + 4 * i}.000`, `00:${12 + 4 * i}.000`, text)}`
  );
  const serve = host(late, segments);
  let failed = false;
  const once = (path: string) => {
    if (path !== "/text1" || failed) return serve(path);
    failed = true;
    return new Response(null, { status: 503 });
  };
  assertCues((await archived(once)).cues, ONE_FIVE_NINE.slice(0, 2));
});

Deno.test("subtitles: every segment 404, or only images → the video alone", async () => {
  const nothing = await archived(host(late, [null, null, null, null, null]));
  assert.deepEqual(nothing, { cues: null, leftOut: ["subtitles not_found", "subtitles no_cues"], subtitleTracks: 0 });
  const image = utf8('<tt xmlns="http://www.w3.org/ns/ttml"><body><div><image src="a.png"/></div></body></tt>');
  const segment = textSegment({ start: 10_000, samples: [{ duration: 4000, bytes: image }] });
  const images = await archived(host(late, [segment], textInit("stpp")));
  assert.deepEqual([images.cues, images.leftOut], [null, ["subtitles images", "subtitles no_cues"]]);
  assert.equal(await archivedCues(late, [segment]), null, "no init section");
});

Deno.test("subtitles: any order, CRLF, repeated at boundaries → each cue once", async () => {
  const nine = cue("00:00:19.000", "00:00:20.000 line:5%", "nine").replaceAll("\n", "\r\n");
  const five = cue("00:00:15.000", "00:00:16.000", "five").replaceAll("\n", "\r\n");
  const one = cue("00:00:11.000", "00:00:12.000 align:start", "One").replaceAll("\n", "\r\n");
  const segments = [
    `\uFEFFWEBVTT\r\n\r\nNOTE x\r\n\r\n${five}\r\n${one}`,
    `WEBVTT\r\n\r\n${five}`,
    `WEBVTT\r\n\r\n${nine}`,
  ];
  assertCues(await archivedCues(late, segments), ONE_FIVE_NINE);
});

Deno.test("subtitles: markup, entities, other scripts → plain text with styles", async () => {
  const text = "<v Bob>Hi&nbsp;<c.x>you</c> &amp; <b>me</b>\n日本語 <00:00:11.500>\u{1f38c} a < b";
  assertCues(await archivedCues(late, [`WEBVTT\n\n${cue("00:11.000", "00:12.000", text)}`]), [
    [1, 2, "Hi\u00a0you & <b>me</b>\n日本語 \u{1f38c} a < b"],
  ]);
});

Deno.test("subtitles: two cues at a time → both texts are shown", async () => {
  const text = `WEBVTT\n\n${cue("00:11.000", "00:15.000", "One")}\n${cue("00:13.000", "00:17.000", "<i>two</i>")}`;
  const cues = await archivedCues(late, [text]);
  assertCues(cues, [[1, 3, "One"], [3, 5, "One\n<i>two</i>"], [5, 7, "<i>two</i>"]]);
});
