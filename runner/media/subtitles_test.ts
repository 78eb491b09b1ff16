// What collectSubtitles finds, and what it reports as left out.
import assert from "node:assert/strict";
import { KeepstreamError } from "../../core/errors.ts";
import { textInit, textSegment, utf8 } from "../../dev/testing/text_mp4.ts";
import type { DownloadedRendition } from "../download/hls.ts";
import { collectSubtitles } from "./subtitles.ts";

type Body = string | Uint8Array | KeepstreamError;

const SECONDS = 4;
const NOT_FOUND = new KeepstreamError("source_expired", "https://cdn.test/… responded with 404");

/** Cues and omissions of one rendition of a video of 40 s. */
async function collect(bodies: readonly Body[], { init, more = {} }: {
  init?: Uint8Array;
  more?: Partial<DownloadedRendition>;
} = {}) {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-subtitles-" });
  try {
    const map = init === undefined ? null : `${dir}/init.mp4`;
    if (map !== null) await Deno.writeFile(map, init!);
    const missing = new Map<number, KeepstreamError>();
    const files = await Promise.all(bodies.map(async (body, i) => {
      if (body instanceof KeepstreamError) return missing.set(i, body), "";
      await Deno.writeFile(`${dir}/${i}`, typeof body === "string" ? utf8(body) : body as Uint8Array<ArrayBuffer>);
      return `${dir}/${i}`;
    }));
    const rendition: DownloadedRendition = {
      ...{ role: "subtitles", name: "English", language: "en", isDefault: true, container: "vtt" },
      retried: new Set(),
      ...{ files, maps: bodies.map(() => map), missing, leftOut: [], durationSeconds: SECONDS * bodies.length },
      segments: bodies.map(
        () => ({ durationSeconds: SECONDS, discontinuity: 0 } as DownloadedRendition["segments"][0]),
      ),
      ...more,
    };
    const clock = { parts: [{ discontinuity: [0, 0] as const, start: 0, at: 0 }], durationSeconds: 40 };
    const { tracks, leftOut } = await collectSubtitles([rendition], clock);
    const cues = tracks.flatMap((track) => track.cues.map(({ start, end, text }) => [start, end, text]));
    return { cues, tracks: tracks.map(({ cues: _, styled: __, ...labels }) => labels), leftOut };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const vtt = (start: number, text: string) =>
  `WEBVTT\n\n00:${String(start).padStart(2, "0")}.000 --> 00:39.000\n${text}\n`;

Deno.test("collectSubtitles: complete → one track, labels, nothing left out", async () => {
  const { cues, tracks, leftOut } = await collect([vtt(1, "One"), "WEBVTT\n\n"]);
  assert.deepEqual(cues, [[1, 39, "One"]]);
  assert.deepEqual(tracks, [{ language: "en", name: "English", isDefault: true }]);
  assert.deepEqual(leftOut, []);
});

for (
  const [what, bodies, code, detail] of [
    [
      "404",
      [vtt(1, "One"), NOT_FOUND],
      "not_found",
      ", segment 2 of 2: missing: https://cdn.test/… responded with 404",
    ],
    [
      "a timeout",
      [vtt(1, "One"), new KeepstreamError("timeout", "late")],
      "unavailable",
      ", segment 2 of 2: missing: late",
    ],
    ["empty", [vtt(1, "One"), "", ""], "empty", ", segments 2, 3 of 3: empty"],
    ["a page", [vtt(1, "One"), "Not found"], "unreadable", ", segment 2 of 2: not WebVTT"],
    [
      "UTF-16",
      [vtt(1, "One"), new Uint8Array([0xfe, 0xff, 0, 0x57])],
      "unreadable",
      ", segment 2 of 2: UTF-16 text; WebVTT is UTF-8",
    ],
    [
      "STYLE",
      [`WEBVTT\n\nSTYLE\n::cue {}\n\n${vtt(1, "One").slice(8)}`],
      "styles",
      ", segment 1 of 1: STYLE or REGION blocks, which MP4 text cannot contain",
    ],
    [
      "a cue after the end",
      [vtt(1, "One"), "WEBVTT\n\n01:00.000 --> 01:01.000\nx\n"],
      "outside",
      ": cues before the start or after the end of the video: 1",
    ],
  ] as const
) {
  Deno.test(`collectSubtitles: ${what} → reported, the rest is kept`, async () => {
    const { cues, leftOut } = await collect(bodies);
    assert.deepEqual(cues, [[1, 39, "One"]]);
    assert.deepEqual(leftOut, [{ kind: "subtitles", code, detail: `subtitles en "English"${detail}` }]);
  });
}

Deno.test("collectSubtitles: nothing usable → no track, both reasons", async () => {
  const image = utf8('<tt xmlns="http://www.w3.org/ns/ttml"><body><div><image src="a.png"/></div></body></tt>');
  const segment = textSegment({ start: 0, samples: [{ duration: 4000, bytes: image }] });
  const { tracks, leftOut } = await collect([segment, NOT_FOUND], {
    init: textInit("stpp"),
    more: { name: null, language: null },
  });
  assert.deepEqual(tracks, []);
  assert.deepEqual(leftOut.map(({ code, detail }) => [code, detail]), [
    ["images", "subtitles, segment 1 of 2: images instead of text"],
    ["not_found", "subtitles, segment 2 of 2: missing: https://cdn.test/… responded with 404"],
    ["no_cues", "subtitles: the track is left out: it has no cue"],
  ]);
});

Deno.test("collectSubtitles: many missing segments → one omission that names five", async () => {
  const { leftOut } = await collect([vtt(1, "One"), ...Array.from({ length: 9 }, () => NOT_FOUND)]);
  assert.deepEqual(leftOut.map(({ detail }) => detail), [
    'subtitles en "English", segments 2, 3, 4, 5, 6 and 4 more of 10: missing: https://cdn.test/… responded with 404',
  ]);
});

Deno.test("collectSubtitles: too much text → the first part, reported", async () => {
  const many = `WEBVTT\n\n${"00:01.000 --> 00:02.000\nOne\n\n".repeat(100_001)}`;
  const { cues, leftOut } = await collect([many, vtt(20, "late")]);
  assert.deepEqual(cues, [[1, 2, "One"]]);
  assert.deepEqual(leftOut.map(({ code }) => code), ["too_large"]);
});
