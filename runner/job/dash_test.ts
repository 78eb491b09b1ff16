/** MPEG-DASH from a real host's responses to the archive: the same frames and samples, or a refusal by name. */
import assert from "node:assert/strict";
import { dashClip, dashHost, decoded, decodedPieces, type Files, pieces } from "../../dev/testing/dash_clip.ts";
import { ffprobe } from "../../dev/testing/clip_host.ts";
import { planDash } from "../download/dash_plan.ts";
import type { HlsPlan } from "../download/hls_plan.ts";
import { type FetchOptions, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";

const clip = await dashClip();

interface Case {
  readonly mpd: string;
  readonly files?: Files;
  readonly options?: FetchOptions;
  /** The clip's streams that the archive has to contain. */
  readonly video?: number;
  readonly audio?: readonly number[];
}

async function assertArchived(
  { mpd, files = clip.files, options, video = 1, audio = [2, 3] }: Case,
): Promise<string[]> {
  await using fixture = await startFetchFixture(dashHost(mpd, files));
  const { final } = await fixture.fetch("/m.mpd", options);
  assert.deepEqual(await decoded(final.path, "v:0"), await decodedPieces(pieces(clip, video), "v:0"));
  for (const [i, stream] of audio.entries()) {
    assert.deepEqual(
      await decoded(final.path, `a:${i}`),
      await decodedPieces(pieces(clip, stream), "a:0"),
      `audio ${i}`,
    );
  }
  const { streams } = await ffprobe(final.path, "stream=codec_type,start_time:stream_tags=language") as {
    streams: { codec_type: string; start_time: string }[];
  };
  assert.equal(streams.length, 1 + audio.length);
  for (const { codec_type, start_time } of streams) {
    assert.ok(Math.abs(Number(start_time)) < 0.024, `${codec_type} starts at ${start_time} s`);
  }
  return fixture.asked;
}

function planAt(url: string): Promise<HlsPlan> {
  const policy = { allowedOrigins: [url] };
  return planDash(`${url}/m.mpd`, { fetch, policy, headers: {}, signal: new AbortController().signal, wanted: null });
}

async function assertRefused(mpd: string, expected: { code: string; message: RegExp }, files: Files = clip.files) {
  await using fixture = await startFetchFixture(dashHost(mpd, files));
  await assert.rejects(fixture.fetch("/m.mpd"), expected);
  assert.deepEqual(fixture.asked.filter((path) => path !== "/m.mpd"), [], "only the MPD was fetched");
}

Deno.test("MPD: $Number$ and SegmentTimeline → best video, both languages", async () => {
  await assertArchived({ mpd: clip.mpd });
});

Deno.test("MPD: 90p wanted → the 90p representation", async () => {
  await assertArchived({
    mpd: clip.mpd.replaceAll('height="90"', 'height="360"'),
    options: { resolution: "360p" },
    video: 0,
  });
});

/** The clip's MPD with segment durations instead of timelines for video. Its audio segments differ in length. */
const byDuration = clip.mpd.replaceAll(
  /<SegmentTemplate timescale="12800"([^>]*)>[^]*?<\/SegmentTemplate>/g,
  '<SegmentTemplate timescale="1000" duration="2000"$1/>',
);

Deno.test("MPD: segment durations without a timeline → the same archive", async () => {
  await assertArchived({ mpd: byDuration });
});

Deno.test("MPD: SegmentList with a duration and with a timeline → archived", async () => {
  let stream = 0;
  const mpd = clip.mpd.replaceAll(
    /<SegmentTemplate (timescale="\d+")[^>]*>([^]*?)<\/SegmentTemplate>/g,
    (_, scale, timeline) => {
      const urls = pieces(clip, stream).slice(1).map((_, i) =>
        `<SegmentURL media="chunk-stream${stream}-0000${i + 1}.m4s"/>`
      );
      const init = `<Initialization sourceURL="init-stream${stream}.m4s"/>`;
      const isVideo = stream++ < 2;
      const list = isVideo ? '<SegmentList duration="2">' : `<SegmentList ${scale}>`;
      return `${list}${init}${isVideo ? "" : timeline}${urls.join("")}</SegmentList>`;
    },
  );
  await assertArchived({ mpd });
});

Deno.test("MPD: $Time$, $Bandwidth$ and $$ in names → archived", async () => {
  const files = new Map(clip.files);
  const times = [[0, 25600, 51200, 76800], [0, 25600, 51200, 76800], [0, 84992, 173056, 261120, 350208]];
  for (const stream of [0, 1, 2, 3]) {
    for (const [i, bytes] of pieces(clip, stream).slice(1).entries()) {
      files.set(`s${stream}$t${times[Math.min(stream, 2)]![i]}.m4s`, bytes);
    }
  }
  const mpd = clip.mpd.replaceAll(/media="[^"]*"/g, 'media="$Bandwidth%08d$/s$RepresentationID$$$t$Time$.m4s"');
  await assertArchived({ mpd, files });
});

const single = await dashClip(["-single_file", "1", "-global_sidx", "1"]);

function sidxOf(file: Uint8Array): { start: number; end: number } {
  const view = new DataView(file.buffer);
  let start = 0;
  while (view.getUint32(start + 4) !== 0x73696478) start += view.getUint32(start);
  return { start, end: start + view.getUint32(start) };
}

/** The single-file clip's MPD with SegmentBase instead of SegmentList. */
function withSegmentBase(mpd: string, base: (sidx: { start: number; end: number }) => string): string {
  return mpd.replaceAll(
    /<BaseURL>(.*?)<\/BaseURL>\s*<SegmentList[^]*?<\/SegmentList>/g,
    (_, name) => `<BaseURL>${name}</BaseURL>${base(sidxOf(single.files.get(name)!))}`,
  );
}

for (
  const [name, base] of [
    [
      "indexRange and Initialization",
      (sidx) =>
        `<SegmentBase indexRange="${sidx.start}-${sidx.end - 1}"><Initialization range="0-${
          sidx.start - 1
        }"/></SegmentBase>`,
    ],
    ["indexRange", (sidx) => `<SegmentBase indexRange="${sidx.start}-${sidx.end - 1}"/>`],
    ["BaseURL only", () => ""],
  ] as [string, (sidx: { start: number; end: number }) => string][]
) {
  Deno.test(`MPD: SegmentBase with ${name} → the segments of sidx`, async () => {
    const asked = await assertArchived({ mpd: withSegmentBase(single.mpd, base), files: single.files });
    const requests = asked.filter((path) => path === "/m-stream1.mp4").length;
    assert.ok(requests >= 6, `${requests} requests for index, init section and 4 segments`);
  });
}

Deno.test("MPD: SegmentList of byte ranges of one file → archived", async () => {
  assert.match(single.mpd, /mediaRange/);
  await assertArchived({ mpd: single.mpd, files: single.files });
});

Deno.test("MPD: one file with an index per segment, or with none → whole file", async () => {
  const chained = await dashClip(["-single_file", "1", "-global_sidx", "0"]);
  const mpd = withSegmentBase(chained.mpd, () => "");
  await assertArchived({ mpd, files: chained.files });
  const bare = new Map([0, 1, 2, 3].map((stream) => {
    const parts = pieces(clip, stream);
    return [`m-stream${stream}.mp4`, new Uint8Array(parts.flatMap((part) => [...part]))];
  }));
  await assertArchived({ mpd, files: bare });
});

Deno.test("MPD: progressive MP4 as a representation → unsupported", async () => {
  const files = new Map([["m-stream1.mp4", new Uint8Array([0, 0, 0, 8, ...new TextEncoder().encode("mdat")])]]);
  await using fixture = await startFetchFixture(dashHost(withSegmentBase(single.mpd, () => ""), files));
  await assert.rejects(fixture.fetch("/m.mpd"), { code: "unsupported", message: /not a fragmented MP4/ });
});

Deno.test("MPD: BaseURL at every level, the first copy missing → the second", async () => {
  const bases = "<BaseURL>gone/</BaseURL><BaseURL>there/</BaseURL>";
  const mpd = clip.mpd.replace(/<Period[^>]*>/, `$&<BaseURL>/a/</BaseURL>`)
    .replaceAll(/<AdaptationSet[^>]*>/g, `$&${bases}`)
    .replaceAll(/<Representation[^>]*>/g, `$&<BaseURL>./x/</BaseURL>`);
  const host = dashHost(mpd, clip.files);
  await using fixture = await startFetchFixture((path, request) =>
    path.includes("gone") ? new Response(null, { status: 404 }) : host(path, request)
  );
  await fixture.fetch("/m.mpd");
  assert.ok(fixture.asked.includes("/a/there/x/chunk-stream1-00004.m4s"));
});

const PROTECTION = {
  Widevine: "urn:uuid:EDEF8BA9-79D6-4ACE-A3C8-27DCD51D21ED",
  PlayReady: "urn:uuid:9a04f079-9840-4286-ab92-e65be0885f95",
  FairPlay: "urn:uuid:94ce86fb-07ff-4f43-adb8-93d2fa968ca2",
  ClearKey: "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e",
};

for (const [system, scheme] of Object.entries(PROTECTION)) {
  Deno.test(`MPD: ContentProtection of ${system} → drm, named`, async () => {
    const protection = `<ContentProtection schemeIdUri="${scheme}"/>`;
    const message = new RegExp(`protected with .*${system}`);
    await assertRefused(clip.mpd.replaceAll(/<AdaptationSet[^>]*>/g, `$&${protection}`), { code: "drm", message });
    const onlyAudio = clip.mpd.replaceAll(/<AdaptationSet[^>]*contentType="audio"[^>]*>/g, `$&${protection}`);
    await assertRefused(onlyAudio, { code: "drm", message });
  });
}

Deno.test("MPD: some representations protected → the clear one", async () => {
  const protection = '<ContentProtection schemeIdUri="urn:mpeg:dash:mp4protection:2011" value="cenc"/>';
  await assertArchived({ mpd: clip.mpd.replace(/<Representation id="1"[^>]*>/, `$&${protection}`), video: 0 });
});

for (
  const [name, edit, expected] of [
    ["dynamic", (mpd) => mpd.replace('type="static"', 'type="dynamic"'), { code: "unsupported", message: /is live/ }],
    ["xlink", (mpd) => mpd.replace("<Period ", '<Period xlink:href="p.xml" '), {
      code: "unsupported",
      message: /xlink/,
    }],
    ["a DTD", (mpd) => mpd.replace("<MPD", '<!DOCTYPE MPD [<!ENTITY a "b">]><MPD'), {
      code: "unsupported",
      message: /document type|web page/,
    }],
    ["a cut document", (mpd) => mpd.slice(0, mpd.length / 2), {
      code: "unsupported",
      message: /ends inside|cannot be read/,
    }],
    ["a billion segments", (mpd) => mpd.replaceAll('r="3"', 'r="999999999"'), {
      code: "too_large",
      message: /20000 segments/,
    }],
    [
      "a segment per tick",
      (mpd) =>
        mpd.replaceAll(
          /<SegmentTemplate timescale="12800"([^>]*)>[^]*?<\/SegmentTemplate>/g,
          '<SegmentTemplate timescale="1000000000" duration="1"$1/>',
        ),
      { code: "too_large", message: /20000 segments/ },
    ],
    ["no video", (mpd) => mpd.replaceAll(/video|audio/g, "image"), { code: "unsupported", message: /no video/ }],
    ["WebM only", (mpd) => mpd.replaceAll("video/mp4", "video/webm"), { code: "unsupported", message: /video\/webm/ }],
    ["a private host", (mpd) => mpd.replace("<Period", "<BaseURL>http://169.254.169.254/</BaseURL><Period"), {
      code: "policy_denied",
      message: /169\.254/,
    }],
    ["a file: URL", (mpd) => mpd.replace("<Period", "<BaseURL>file:///etc/</BaseURL><Period"), {
      code: "policy_denied",
      message: /file/,
    }],
  ] as [string, (mpd: string) => string, { code: string; message: RegExp }][]
) {
  Deno.test(`MPD: ${name} → refused before any segment`, async () => {
    const mpd = edit(clip.mpd);
    assert.notEqual(mpd, clip.mpd);
    await assertRefused(mpd, expected);
  });
}

/** The duration of each track, and the frames or samples that cannot be decoded. */
async function playedSeconds(path: string): Promise<Record<string, number>> {
  const { streams } = await ffprobe(path, "stream=codec_type,duration") as {
    streams: { codec_type: string; duration: string }[];
  };
  return Object.fromEntries(streams.map(({ codec_type, duration }) => [codec_type, Number(duration)]));
}

const [PERIOD] = /<Period[^]*<\/Period>/.exec(clip.mpd) as [string];
/** The clip's second half as another period: numbers and timestamps go on. */
const secondHalf = PERIOD
  .replace(/<Period[^>]*>/, '<Period id="2" start="PT4S">')
  .replaceAll('startNumber="1"', 'startNumber="3" presentationTimeOffset="51200"')
  .replaceAll('<S t="0" d="25600" r="3" />', '<S t="51200" d="25600" r="1" />')
  .replaceAll(
    /timescale="44100"([^>]*)presentationTimeOffset="51200"/g,
    'timescale="44100"$1presentationTimeOffset="176400"',
  )
  .replaceAll(/<S t="0" d="84992" \/>\s*<S d="88064" r="1" \/>/g, '<S t="173056" d="88064" />');
const firstHalf = PERIOD
  .replace(/<Period[^>]*>/, '<Period id="1" duration="PT4S">')
  .replaceAll('r="3"', 'r="1"')
  .replaceAll(/<S d="88064" r="1" \/>[^]*?<\/SegmentTimeline>/g, '<S d="88064" /></SegmentTimeline>');
const twoPeriods = clip.mpd.replace(PERIOD, firstHalf + secondHalf);

Deno.test("MPD: one recording in two periods → the same archive", async () => {
  await assertArchived({ mpd: twoPeriods });
});

Deno.test("MPD: period that ends inside a segment → unsupported", async () => {
  const mpd = twoPeriods.replace('duration="PT4S"', 'duration="PT3S"').replace('start="PT4S"', 'start="PT3S"');
  await using fixture = await startFetchFixture(dashHost(mpd, clip.files));
  await assert.rejects(fixture.fetch("/m.mpd"), { code: "unsupported", message: /period 1 .*ends inside a segment/ });
});

Deno.test("MPD: periods that start at 0, of two sizes → every frame, no drift", async () => {
  const again = PERIOD.replace(/<Period[^>]*>/, '<Period id="2">').replaceAll('media="', 'media="b/').replaceAll(
    'initialization="',
    'initialization="b/',
  );
  const other = await dashClip(["-s:v:1", "480x270"]);
  const mpd = clip.mpd.replace(/<Period[^>]*>/, '<Period id="1" duration="PT8S">').replace(
    "</Period>",
    `</Period>${again}`,
  ).replace('mediaPresentationDuration="PT8.0S"', 'mediaPresentationDuration="PT16.0S"');
  const [here, there] = [dashHost(mpd, clip.files), dashHost(mpd, other.files)];
  await using fixture = await startFetchFixture((path, request) =>
    (path.startsWith("/b/") ? there : here)(path, request)
  );
  const { final } = await fixture.fetch("/m.mpd");
  const frames = await decoded(final.path, "v:0");
  assert.equal(frames.length, 400);
  assert.deepEqual(frames.slice(0, 200), await decodedPieces(pieces(clip, 1), "v:0"));
  const { video, audio } = await playedSeconds(final.path);
  assert.ok(Math.abs(video! - 16) < 0.05 && Math.abs(audio! - 16) < 0.1, `${video} s and ${audio} s`);
});

Deno.test("MPD: tracks with different presentationTimeOffset → in step", async () => {
  // For the same moment, audio timestamps are 0.5 s smaller than those of video.
  const mpd = clip.mpd.replaceAll('timescale="12800"', 'timescale="12800" presentationTimeOffset="6400"');
  await using fixture = await startFetchFixture(dashHost(mpd, clip.files));
  const { final } = await fixture.fetch("/m.mpd");
  const { streams } = await ffprobe(final.path, "stream=codec_type,start_time") as {
    streams: { codec_type: string; start_time: string }[];
  };
  const [video, audio] = streams.map(({ start_time }) => Number(start_time));
  assert.ok(Math.abs(audio! - video! - 0.5) < 0.024, `video starts at ${video} s, audio at ${audio} s`);
});

Deno.test("MPD: best representation missing → the next one; reported", async () => {
  const host = dashHost(clip.mpd, clip.files);
  await using fixture = await startFetchFixture((path, request) =>
    path.includes("stream1") ? new Response(null, { status: 404 }) : host(path, request)
  );
  const { final } = await fixture.fetch("/m.mpd");
  assert.deepEqual(await decoded(final.path, "v:0"), await decodedPieces(pieces(clip, 0), "v:0"));
  const { variant } = await planAt(fixture.url);
  assert.match(variant!.reason, /1 before it could not be read/);
});

Deno.test("MPD: one of two languages missing → the other; all missing → refused", async () => {
  const host = dashHost(clip.mpd, clip.files);
  const missing = (streams: RegExp) => (path: string, request: Request) =>
    streams.test(path) ? new Response(null, { status: 404 }) : host(path, request);
  await using one = await startFetchFixture(missing(/stream2/));
  const { final } = await one.fetch("/m.mpd");
  assert.deepEqual(await decoded(final.path, "a:0"), await decodedPieces(pieces(clip, 3), "a:0"));
  const { leftOut } = await planAt(one.url);
  assert.deepEqual(leftOut.map(({ kind, code }) => [kind, code]), [["audio", "not_found"]]);
  await using both = await startFetchFixture(missing(/stream[23]/));
  await assert.rejects(both.fetch("/m.mpd"), { code: "source_expired" });
});

Deno.test("MPD: duration rounded up beyond the last segment → archived", async () => {
  await assertArchived({ mpd: byDuration.replace("PT8.0S", "PT8.3S") });
});

Deno.test("MPD: init sections that differ in their query only → each its own", async () => {
  const mpd = clip.mpd.replaceAll("init-stream$RepresentationID$.m4s", "init?r=$RepresentationID$");
  const host = dashHost(mpd, clip.files);
  await using fixture = await startFetchFixture((path, request) => {
    const stream = new URL(request.url).searchParams.get("r");
    return stream === null ? host(path, request) : host(`/init-stream${stream}.m4s`, request);
  });
  const { final } = await fixture.fetch("/m.mpd");
  assert.deepEqual(await decoded(final.path, "v:0"), await decodedPieces(pieces(clip, 1), "v:0"));
  assert.deepEqual(await decoded(final.path, "a:0"), await decodedPieces(pieces(clip, 2), "a:0"));
});

const textSet = (language: string, type: string, file: string) =>
  `<AdaptationSet contentType="text" mimeType="${type}" lang="${language}">` +
  `<Representation id="${file}"><BaseURL>${file}</BaseURL></Representation></AdaptationSet>`;
const vtt = (...seconds: number[]) => {
  const cues = seconds.map((at) => `00:0${at}.000 --> 00:0${at + 1}.000\nCue ${at}\n`);
  return new TextEncoder().encode(`WEBVTT\n\n${cues.join("\n")}`);
};
const TTML = new TextEncoder().encode(
  '<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="2s" end="3s">Two</p></div></body></tt>',
);
const THUMBNAILS = '<AdaptationSet contentType="image" mimeType="image/jpeg">' +
  '<EssentialProperty schemeIdUri="http://dashif.org/guidelines/thumbnail_tile" value="5x5"/>' +
  '<Representation id="w"/></AdaptationSet>';

Deno.test("MPD: WebVTT and TTML files → text tracks; a missing one → reported", async () => {
  const sets = textSet("id", "text/vtt", "id.vtt") + textSet("en", "application/ttml+xml", "en.ttml") +
    textSet("fr", "text/vtt", "gone.vtt") + THUMBNAILS;
  const files = new Map(clip.files).set("id.vtt", vtt(1, 5)).set("en.ttml", TTML);
  await using fixture = await startFetchFixture(dashHost(clip.mpd.replace("</Period>", `${sets}</Period>`), files));
  const { final } = await fixture.fetch("/m.mpd");
  assert.deepEqual([await cueTimes(final.path, 0), await cueTimes(final.path, 1)], [[1, 5], [2]]);
  const { leftOut } = await planAt(fixture.url);
  assert.deepEqual(leftOut.map(({ kind, code }) => [kind, code]), [["subtitles", "not_found"]]);
});

Deno.test("MPD: WebVTT file for each of two periods → on one timeline", async () => {
  const [first, second] = ["a.vtt", "b.vtt"].map((file) => `${textSet("id", "text/vtt", file)}</Period>`);
  const periods = firstHalf.replace("</Period>", first!) + secondHalf.replace("</Period>", second!);
  const files = new Map(clip.files).set("a.vtt", vtt(1, 3)).set("b.vtt", vtt(1, 2));
  await using fixture = await startFetchFixture(dashHost(clip.mpd.replace(PERIOD, periods), files));
  const { final } = await fixture.fetch("/m.mpd");
  assert.deepEqual(await cueTimes(final.path, 0), [1, 3, 5, 6]);
});

/** Start times of the cues of a text track. */
async function cueTimes(path: string, track: number): Promise<number[]> {
  const args = ["-v", "error", "-i", path, "-map", `0:s:${track}`, "-f", "webvtt", "-"];
  const { stdout } = await new Deno.Command("ffmpeg", { args }).output();
  return [...new TextDecoder().decode(stdout).matchAll(/00:0(\d)\.\d+ -->/g)].map(([, second]) => Number(second));
}

Deno.test("MPD: audio only → archived", async () => {
  const mpd = clip.mpd.replace(/<AdaptationSet id="0"[^]*?<\/AdaptationSet>/, "");
  await using fixture = await startFetchFixture(dashHost(mpd, clip.files));
  const { final } = await fixture.fetch("/m.mpd");
  assert.deepEqual(await decoded(final.path, "a:0"), await decodedPieces(pieces(clip, 2), "a:0"));
});
