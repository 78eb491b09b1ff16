/** MPEG-DASH from a real host's responses to the archive: the same frames and samples, or a refusal by name. */
import assert from "node:assert/strict";
import { type DashClip, dashClip, dashHost, decoded, decodedPieces, type Files } from "../../dev/testing/dash_clip.ts";
import { ffprobe } from "../../dev/testing/clip_host.ts";
import { type FetchOptions, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";

const clip = await dashClip();

/** The pieces of one of the clip's streams, in order. */
function pieces({ files }: DashClip, stream: number): Uint8Array<ArrayBuffer>[] {
  const names = [...files.keys()].filter((name) => name.startsWith(`chunk-stream${stream}-`)).sort();
  return [`init-stream${stream}.m4s`, ...names].map((name) => files.get(name)!);
}

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

async function assertRefused(mpd: string, expected: { code: string; message: RegExp }, files: Files = clip.files) {
  await using fixture = await startFetchFixture(dashHost(mpd, files));
  await assert.rejects(fixture.fetch("/m.mpd"), expected);
  assert.deepEqual(fixture.asked.filter((path) => path !== "/m.mpd"), [], "nothing but the MPD was fetched");
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
    ["no video", (mpd) => mpd.replaceAll("video", "image"), { code: "unsupported", message: /no video/ }],
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
