import assert from "node:assert/strict";
import { type MultivariantPlaylist, parsePlaylist } from "../../core/hls/playlist.ts";
import { unwrap } from "../../core/result.ts";
import { rankAudio, rankVideo } from "./codec_rank.ts";
import { isSameVariant, nominalHeight, orderVariants } from "./variant_choice.ts";

const AVC = "avc1.640028";
const AAC = "mp4a.40.2";
const HEVC = "hvc1.1.6.L93.B0";

/** `name: attributes` of each variant, and tags in front of them. */
function playlist(variants: Readonly<Record<string, string>>, tags: readonly string[] = []): MultivariantPlaylist {
  const lines = Object.entries(variants).flatMap(([name, attributes]) => [`#EXT-X-STREAM-INF:${attributes}`, name]);
  const text = ["#EXTM3U", ...tags, ...lines].join("\n");
  return unwrap(parsePlaylist(text, new URL("https://cdn.test/"))) as MultivariantPlaylist;
}

function order(
  variants: Readonly<Record<string, string>>,
  wanted: string | null,
  tags?: readonly string[],
): string[] {
  return orderVariants(playlist(variants, tags), wanted).map(({ variant }) => variant.url.split("/").at(-1)!);
}

function audio(group: string, languages: string, more = ""): string[] {
  return languages.split(" ").map((language) =>
    `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="${group}",NAME="${language}",LANGUAGE="${language}",URI="${group}-${language}"${more}`
  );
}

const SIZES = {
  p360: "BANDWIDTH=1,RESOLUTION=640x360",
  p720: "BANDWIDTH=2,RESOLUTION=1280x720",
  p1080: "BANDWIDTH=3,RESOLUTION=1920x1080",
};

const HEIGHTS: readonly (readonly [string, Readonly<Record<string, string>>, string | null, readonly string[]])[] = [
  ["exact", SIZES, "720p", ["p720", "p360", "p1080"]],
  ["without the p", SIZES, "720", ["p720", "p360", "p1080"]],
  ["next lower, then higher", SIZES, "480p", ["p360", "p720", "p1080"]],
  ["lower than all", SIZES, "240p", ["p360", "p720", "p1080"]],
  ["higher than all", SIZES, "2160p", ["p1080", "p720", "p360"]],
  ["not stated: the largest", SIZES, null, ["p1080", "p720", "p360"]],
  ["a label without a number", SIZES, "HD", ["p1080", "p720", "p360"]],
  ["1088 is 1080", { b: SIZES.p720, a: "BANDWIDTH=1,RESOLUTION=1920x1088" }, "1080p", ["a", "b"]],
  ["a label of 1088", SIZES, "1088p", ["p1080", "p720", "p360"]],
  [
    "368 is 360, 736 is 720",
    {
      a: "BANDWIDTH=9,RESOLUTION=1280x736",
      b: "BANDWIDTH=1,RESOLUTION=640x368",
    },
    "360p",
    ["b", "a"],
  ],
  [
    "portrait: the shorter side",
    {
      a: "BANDWIDTH=1,RESOLUTION=360x640",
      b: "BANDWIDTH=2,RESOLUTION=720x1280",
      c: "BANDWIDTH=3,RESOLUTION=1080x1920",
    },
    "720p",
    ["b", "a", "c"],
  ],
  [
    "a film of 2.4:1",
    {
      a: "BANDWIDTH=3,RESOLUTION=1920x800",
      b: "BANDWIDTH=2,RESOLUTION=1280x534",
      c: "BANDWIDTH=1,RESOLUTION=854x356",
    },
    "720p",
    ["b", "c", "a"],
  ],
  ["4:3", { a: "BANDWIDTH=3,RESOLUTION=1440x1080", b: "BANDWIDTH=2,RESOLUTION=960x720" }, "720p", ["b", "a"]],
  ["unknown sizes last", { a: "BANDWIDTH=9", b: SIZES.p360 }, "1080p", ["b", "a"]],
  ["no size at all: bandwidth", { a: "BANDWIDTH=1", b: "BANDWIDTH=3", c: "BANDWIDTH=2" }, "720p", ["b", "c", "a"]],
];

for (const [title, variants, wanted, expected] of HEIGHTS) {
  Deno.test(`orderVariants: height, ${title} → ${expected[0]}`, () => {
    assert.deepEqual(order(variants, wanted), expected);
  });
}

/** At one height. */
function inf(bandwidth: number, codecs: string | null, more = ""): string {
  return `BANDWIDTH=${bandwidth},RESOLUTION=1280x720${codecs === null ? "" : `,CODECS="${codecs}"`}${more}`;
}

const CODECS: readonly (readonly [string, Readonly<Record<string, string>>, readonly string[]])[] = [
  ["AVC before HEVC", { a: inf(9, `${HEVC},${AAC}`), b: inf(1, `${AVC},${AAC}`) }, ["b", "a"]],
  ["hev1 and avc3", { a: inf(9, `hev1.1.6.L93.B0,${AAC}`), b: inf(1, `avc3.640028,${AAC}`) }, ["b", "a"]],
  ["AVC before VP9, AV1, HEVC, Dolby Vision", {
    d: inf(9, `dvh1.05.06,${AAC}`),
    c: inf(9, `${HEVC},${AAC}`),
    b: inf(9, `av01.0.05M.08,${AAC}`),
    a: inf(1, `${AVC},${AAC}`),
  }, ["a", "b", "c", "d"]],
  ["unknown codecs between AVC and HEVC", { c: inf(9, HEVC), b: inf(9, null), a: inf(1, AVC) }, ["a", "b", "c"]],
  ["AAC before AC-3 and E-AC-3", { c: inf(9, `${AVC},ec-3`), b: inf(8, `${AVC},ac-3`), a: inf(1, `${AVC},${AAC}`) }, [
    ...["a", "c", "b"],
  ]],
  ["AC-3 with AVC before HEVC with AAC", { b: inf(9, `${HEVC},${AAC}`), a: inf(1, `${AVC},ac-3`) }, ["a", "b"]],
  ["codecs in another order and case", { b: inf(9, "AC-3, AVC1.640028"), a: inf(1, `${AAC}, ${AVC}`) }, ["a", "b"]],
  ["both AAC and E-AC-3 named: counts as E-AC-3", {
    b: inf(9, `${AVC},${AAC},ec-3`),
    a: inf(1, `${AVC},${AAC}`),
  }, ["a", "b"]],
  ["frame rate before bandwidth", {
    b: inf(9, AVC, ",FRAME-RATE=25"),
    a: inf(1, AVC, ",FRAME-RATE=50"),
  }, ["a", "b"]],
  ["29.97 and 30 are equal", {
    b: inf(1, AVC, ",FRAME-RATE=30"),
    a: inf(9, AVC, ",FRAME-RATE=29.970"),
  }, ["a", "b"]],
  ["a frame rate that one does not state", { b: inf(1, AVC, ",FRAME-RATE=50"), a: inf(9, AVC) }, ["a", "b"]],
  ["bandwidth", { b: inf(1, AVC), a: inf(9, AVC) }, ["a", "b"]],
  ["redundant copies keep their order", { a: inf(9, AVC), b: inf(9, AVC), c: inf(1, AVC) }, ["a", "b", "c"]],
  ["audio only last", { b: 'BANDWIDTH=99,CODECS="mp4a.40.2"', a: inf(1, AVC) }, ["a"]],
];

for (const [title, variants, expected] of CODECS) {
  Deno.test(`orderVariants: ${title} → ${expected[0]}`, () => {
    for (const wanted of ["720p", null]) assert.deepEqual(order(variants, wanted), expected);
  });
}

Deno.test("orderVariants: only audio variants → all of them", () => {
  assert.deepEqual(order({ a: 'BANDWIDTH=1,CODECS="mp4a.40.2"', b: 'BANDWIDTH=2,CODECS="mp4a.40.5"' }, null), [
    "b",
    "a",
  ]);
});

Deno.test("orderVariants: height before codecs", () => {
  const variants = { a: `BANDWIDTH=1,RESOLUTION=1920x1080,CODECS="${HEVC},ec-3"`, b: inf(9, `${AVC},${AAC}`) };
  assert.deepEqual(order(variants, "1080p"), ["a", "b"]);
});

Deno.test("orderVariants: the same video with groups of AC-3 and AAC → AAC", () => {
  const tags = [...audio("ac3", "ja en", ',CHANNELS="6"'), ...audio("aac", "ja en", ',CHANNELS="2"')];
  const named = { b: inf(9, `${AVC},ac-3`, ',AUDIO="ac3"'), a: inf(1, `${AVC},${AAC}`, ',AUDIO="aac"') };
  assert.deepEqual(order(named, "720p", tags), ["a", "b"]);
  // CODECS without audio: another variant of the group names it, or the group's own name.
  const elsewhere = {
    ...{ b: inf(9, AVC, ',AUDIO="x"'), a: inf(1, AVC, ',AUDIO="y"') },
    ...{ b2: `BANDWIDTH=1,RESOLUTION=640x360,CODECS="${AVC},ec-3",AUDIO="x"` },
    ...{ a2: `BANDWIDTH=1,RESOLUTION=640x360,CODECS="${AVC},${AAC}",AUDIO="y"` },
  };
  assert.equal(order(elsewhere, "720p", [...audio("x", "ja"), ...audio("y", "ja")])[0], "a");
  const unnamed = { b: inf(9, null, ',AUDIO="ac3"'), a: inf(1, null, ',AUDIO="aac"') };
  assert.deepEqual(order(unnamed, "720p", tags), ["a", "b"]);
});

Deno.test("orderVariants: groups of one codec → the one with more languages", () => {
  const tags = [...audio("one", "ja"), ...audio("two", "ja en")];
  const codecs = `${AVC},${AAC}`;
  assert.deepEqual(order({ b: inf(9, codecs, ',AUDIO="one"'), a: inf(1, codecs, ',AUDIO="two"') }, null, tags), [
    ...["a", "b"],
  ]);
});

Deno.test("orderVariants: reasons → size, and what was preferred to what", () => {
  const reason = (variants: Readonly<Record<string, string>>, wanted: string | null) =>
    orderVariants(playlist(variants), wanted)[0]!.chosen.reason;
  assert.equal(reason(SIZES, "720p"), "matches 720p");
  assert.equal(reason(SIZES, "480p"), "closest to 480p");
  assert.equal(reason(SIZES, null), "the largest size");
  const choice = { a: inf(1, `${AVC},${AAC}`), b: inf(9, `${HEVC},${AAC}`), c: inf(9, `${AVC},ac-3`) };
  assert.equal(reason(choice, "720p"), "matches 720p; AVC and AAC before AC-3 and HEVC");
  assert.equal(reason({ a: inf(1, `${HEVC},ec-3`) }, "720p"), "matches 720p; HEVC and E-AC-3 only");
});

Deno.test("nominalHeight: sizes → the p they are called", () => {
  const sizes: [number, number, number][] = [
    ...[[1920, 1080, 1080], [1920, 1088, 1080], [1920, 800, 1080], [1080, 1920, 1080]] as [number, number, number][],
    ...[[848, 480, 480], [854, 480, 480], [720, 576, 576], [640, 360, 360], [426, 240, 240], [400, 224, 240]] as [
      number,
      number,
      number,
    ][],
    ...[[3840, 2160, 2160], [960, 540, 540]] as [number, number, number][],
  ];
  for (const [width, height, expected] of sizes) assert.equal(nominalHeight({ width, height }), expected, `${width}`);
  assert.equal(nominalHeight({ width: 0, height: 720 }), null);
});

Deno.test("rankVideo, rankAudio: every spelling → its codec", () => {
  const names = (codecs: string) => [rankVideo(codecs).name, rankAudio(codecs, null).name];
  assert.deepEqual(names("avc1.42E01E,mp4a.40.5"), ["AVC", "AAC"]);
  assert.deepEqual(names("hvc1.2.4.L153,ec-3"), ["HEVC", "E-AC-3"]);
  assert.deepEqual(names("vp09.00.10.08,opus"), ["VP9 or AV1", "Opus or FLAC"]);
  assert.deepEqual(names("dvh1.05.06,ac-4"), ["Dolby Vision", "another audio codec"]);
  assert.deepEqual(names("stpp.ttml.im1t"), [null, null]);
  for (
    const [group, name] of [["aud_aac_128", "AAC"], ["audio-ec-3", "E-AC-3"], ["eac3", "E-AC-3"], ["ac-3", "AC-3"]]
  ) {
    assert.equal(rankAudio(null, group!).name, name);
  }
  assert.equal(rankAudio(null, "audio1").name, null);
});

Deno.test("isSameVariant: another reason → same; another attribute → not", () => {
  const [first, second] = orderVariants(playlist(SIZES), "720p").map(({ chosen }) => chosen);
  assert.ok(isSameVariant(first!, { ...first!, reason: "x" }) && isSameVariant(null, null));
  assert.ok(!isSameVariant(first!, second!) && !isSameVariant(first!, null));
});
