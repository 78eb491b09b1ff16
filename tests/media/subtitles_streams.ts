/** Subtitles: WebVTT segments on the clocks that real streams use. Cues are expected at seconds of the archive. */
import { makeStream } from "../../dev/testing/made_stream.ts";
import { hostOf, listOf, sourceOf, type StreamCase } from "./stream.ts";

interface Case {
  readonly name: string;
  readonly container?: "ts" | "fmp4";
  /** Seconds at which the video's clock starts. */
  readonly offset?: number;
  readonly segments: readonly (string | null)[];
  readonly cues: readonly (readonly [seconds: number, text: string])[];
  readonly gate?: boolean;
}

const WRAP = 2 ** 33 / 90_000;
/** ffmpeg's MPEG-TS starts 1.4 s late, and its video two reordered frames later. */
const TS_START = 1.4 + 2 / 24;

const map = (seconds: number, local = "00:00:00.000") =>
  `X-TIMESTAMP-MAP=MPEGTS:${Math.round((seconds % WRAP) * 90_000)},LOCAL:${local}`;
const vtt = (head: string, ...cues: readonly string[]) => ["WEBVTT", head, "", ...cues].join("\n");
const cue = (from: number, to: number, text: string) => `${clock(from)} --> ${clock(to)}\n${text}\n`;
const clock = (seconds: number) => new Date(Math.round(seconds * 1000)).toISOString().slice(11, 23);

const CASES: readonly Case[] = [
  {
    name: "one map for all segments",
    segments: [vtt(map(TS_START), cue(1, 2, "one")), vtt(map(TS_START), cue(5, 6, "two"))],
    cues: [[1, "one"], [5, "two"]],
  },
  {
    name: "a map per segment across the wrap",
    offset: WRAP - 4 - TS_START + 2 / 24, // an offset takes the delay of reordered frames off
    segments: [
      vtt(map(WRAP - 4), cue(1, 2, "one")),
      vtt(map(WRAP - 2), cue(3, 4, "two")),
      vtt(map(2), cue(3, 4, "three")),
    ],
    cues: [[1, "one"], [5, "two"], [9, "three"]],
    gate: true,
  },
  {
    name: "cues out of order, repeated at a border",
    segments: [vtt(map(TS_START), cue(5, 6, "b"), cue(1, 2, "a")), vtt(map(TS_START), cue(5, 6, "b"), cue(8, 9, "c"))],
    cues: [[1, "a"], [5, "b"], [8, "c"]],
  },
  {
    name: "a missing segment",
    segments: [vtt(map(TS_START), cue(1, 2, "one")), null, vtt(map(TS_START), cue(9, 10, "three"))],
    cues: [[1, "one"], [9, "three"]],
    gate: true,
  },
  {
    name: "an empty segment",
    segments: [vtt(map(TS_START), cue(1, 2, "one")), "", vtt(map(TS_START), cue(9, 10, "three"))],
    cues: [[1, "one"], [9, "three"]],
  },
  { name: "no map", segments: [vtt("", cue(1, 2, "one")), vtt("", cue(5, 6, "two"))], cues: [[1, "one"], [5, "two"]] },
  {
    name: "fMP4, no map",
    container: "fmp4",
    segments: [vtt("", cue(1, 2, "one")), vtt("", cue(5, 6, "two"))],
    cues: [[1, "one"], [5, "two"]],
  },
];

export function subtitleStreams(): StreamCase[] {
  return CASES.map((one): StreamCase => {
    const name = `subtitles: ${one.name}`;
    const make = async () => {
      const output = one.offset === undefined ? [] : ["-output_ts_offset", `${one.offset}`];
      const made = [await makeStream({ seconds: 12, container: one.container ?? "ts", output })];
      const seconds = 12 / one.segments.length;
      const list = [
        "#EXTM3U",
        "#EXT-X-TARGETDURATION:12",
        ...one.segments.flatMap((_, i) => [`#EXTINF:${seconds},`, `/t/${i}.vtt`]),
      ];
      const host = hostOf({ v: made }, {
        "/v.m3u8":
          '#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",URI="/t.m3u8"\n#EXT-X-STREAM-INF:BANDWIDTH=1,SUBTITLES="s"\n/video.m3u8\n',
        "/video.m3u8": listOf(made, "v"),
        "/t.m3u8": [...list, "#EXT-X-ENDLIST"].join("\n"),
      });
      return {
        name,
        host: (path: string, request: Request) => {
          const index = /^\/t\/(\d+)\.vtt$/.exec(path);
          if (index === null) return host(path, request);
          const text = one.segments[Number(index[1])] ?? null;
          return text === null
            ? new Response(null, { status: 404 })
            : new Response(text, { headers: { "content-type": "text/vtt" } });
        },
        expected: { outcome: "archived" as const, parts: made.map(sourceOf), cues: one.cues },
      };
    };
    return { name, gate: one.gate === true, make };
  });
}
