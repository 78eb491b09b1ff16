/** Clocks, joins and announced durations. */
import { type MadeStream, makeStream, type StreamRecipe } from "../../dev/testing/made_stream.ts";
import { hostOf, listOf, type ListOptions, sourceOf, type StreamCase } from "./stream.ts";

interface Case {
  readonly name: string;
  readonly recipes: readonly StreamRecipe[];
  readonly list?: ListOptions;
  readonly audio?: readonly number[] | "none";
  readonly note?: string;
  readonly gate?: boolean;
}

const A4 = Array.from({ length: 10 }, () => 440);

function cases(): Case[] {
  const seconds = 8;
  const offset = (at: number) => ["-output_ts_offset", `${at}`];
  const wrap = 2 ** 33 / 90_000;
  return [
    { name: "one clock", recipes: [{ seconds }] },
    {
      name: "no reordered frames",
      recipes: [{ seconds, videoCodec: ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0"] }],
    },
    {
      name: "open groups of pictures",
      recipes: [{
        seconds,
        videoCodec: ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-x264-params", "open-gop=1"],
      }],
    },
    { name: "starts at 10 hours", recipes: [{ seconds, output: offset(36_000) }] },
    { name: "33 bits wrap in the middle", recipes: [{ seconds, output: offset(wrap - 4) }] },
    { name: "jumps 5 s ahead at a discontinuity", recipes: [{ seconds }, { seconds, output: offset(13) }], gate: true },
    { name: "restarts at a discontinuity", recipes: [{ seconds }, { seconds }] },
    {
      name: "goes back at a discontinuity",
      recipes: [{ seconds, output: offset(500) }, { seconds, output: offset(20) }],
    },
    {
      name: "three parts",
      recipes: [{ seconds: 4 }, { seconds: 4, output: offset(900) }, { seconds: 4, output: offset(3) }],
    },
    {
      name: "a discontinuity before every segment, one clock",
      recipes: [{ seconds }],
      list: { lines: (path, announced) => ["#EXT-X-DISCONTINUITY", `#EXTINF:${announced}`, path] },
    },
    {
      name: "another size after a discontinuity",
      recipes: [{ seconds }, { seconds, size: "640x360" }],
      gate: true,
      note: "parameter sets in the key frames",
    },
    {
      name: "a smaller size after a discontinuity",
      recipes: [{ seconds, size: "640x360" }, { seconds, size: "320x180" }],
      note: "parameter sets in the key frames",
    },
    {
      name: "another profile of the same size",
      recipes: [{ seconds }, {
        seconds,
        videoCodec: ["-c:v", "libx264", "-preset", "veryfast", "-profile:v", "high", "-bf", "3"],
      }],
      note: "parameter sets in the key frames",
    },
    {
      name: "another frame rate",
      recipes: [{ seconds }, { seconds, rate: 30 }],
    },
    {
      name: "44.1 kHz mono, then 48 kHz stereo",
      recipes: [{ seconds, sampleRate: 44_100 }, { seconds: 10, channels: 2 }],
      audio: A4,
      note: "the shorter audio re-encoded",
      gate: true,
    },
    {
      name: "48 kHz stereo, then 44.1 kHz mono, then back",
      recipes: [{ seconds: 6, channels: 2 }, { seconds: 4, sampleRate: 44_100 }, { seconds: 6, channels: 2 }],
      audio: A4,
      note: "the shorter audio re-encoded",
    },
    {
      name: "mono, then stereo",
      recipes: [{ seconds: 4 }, { seconds, channels: 2 }],
      audio: A4,
      note: "the shorter audio re-encoded",
    },
    {
      name: "MP3, then AAC",
      recipes: [{ seconds: 4, audioCodec: ["-c:a", "libmp3lame", "-b:a", "64k"] }, { seconds }],
      audio: A4,
      note: "the shorter audio re-encoded",
    },
    { name: "audio ends 5 s early", recipes: [{ seconds: 12, audioSeconds: 7 }], gate: true },
    { name: "audio ends early before a discontinuity", recipes: [{ seconds, audioSeconds: 6 }, { seconds }] },
    { name: "audio outlasts the video", recipes: [{ seconds, audioSeconds: 10 }] },
    {
      name: "a picture stands for 2.9 s",
      recipes: [{ seconds: 12, filter: "select='not(between(t,4.1,6.9))'" }],
      gate: true,
    },
    { name: "variable frame rate", recipes: [{ seconds: 12, filter: "select='not(mod(n,3)*gt(mod(n,7),2))'" }] },
    {
      name: "durations rounded to integers",
      recipes: [{ seconds, segmentSeconds: 1.5 }],
      list: { announce: (s) => `${Math.round(s)},` },
    },
    { name: "durations all equal", recipes: [{ seconds, segmentSeconds: 1.5 }], list: { announce: () => "4.000," } },
    { name: "durations of 0", recipes: [{ seconds }], list: { announce: () => "0," } },
    { name: "durations ten times too long", recipes: [{ seconds }], list: { announce: (s) => `${s * 10},` } },
    { name: "no audio", recipes: [{ seconds, tone: null }], audio: "none" },
    { name: "audio alone", recipes: [{ seconds, size: null }] },
    { name: "audio alone, the clock restarts", recipes: [{ seconds, size: null }, { seconds, size: null }] },
  ];
}

export function timelineStreams(): StreamCase[] {
  const streams = (["ts", "fmp4"] as const).flatMap((container) =>
    cases().map((one): StreamCase => {
      const name = `${container}: ${one.name}`;
      const gate = one.gate === true && (container === "ts" || one.note !== undefined);
      const make = async () => {
        const made: MadeStream[] = [];
        for (const recipe of one.recipes) made.push(await makeStream({ ...recipe, container }));
        return {
          name,
          host: hostOf({ v: made }, { "/v.m3u8": listOf(made, "v", one.list) }),
          expected: {
            outcome: "archived" as const,
            parts: made.map(sourceOf),
            ...(one.audio === undefined ? {} : { audio: one.audio }),
            ...(one.note === undefined ? {} : { note: one.note }),
          },
        };
      };
      return { name, gate, make };
    })
  );
  return [...streams, ...separateAudio()];
}

const SEPARATE:
  readonly (readonly [name: string, video: readonly number[], audio: readonly number[], tones: readonly number[]])[] = [
    ["one clock", [0], [0], [440]],
    ["discontinuities in both, clocks restart", [0, 0], [0, 0], [440, 880]],
    ["discontinuities in both, clocks jump", [5, 100], [5, 100], [440, 880]],
    ["audio on a clock of its own", [1000], [3], [440]],
    ["audio without the video's discontinuity", [0, 50], [0], [440]],
    ["two languages", [0], [0], [440]],
  ];

function separateAudio(): StreamCase[] {
  return (["ts", "fmp4"] as const).flatMap((container) =>
    SEPARATE.map(([title, videoAt, audioAt, tones]): StreamCase => {
      const name = `${container}, separate audio: ${title}`;
      const video = (at: number) =>
        makeStream({ seconds: 8, container, tone: null, output: ["-output_ts_offset", `${at}`] });
      const audio = (at: number, tone: number) =>
        makeStream({ seconds: 8, container, size: null, tone, output: ["-output_ts_offset", `${at}`] });
      const make = async () => {
        const v = await Promise.all(videoAt.map(video));
        const a = await Promise.all(audioAt.map((at, i) => audio(at, tones[i]!)));
        const b = title === "two languages" ? [await audio(0, 880)] : [];
        return {
          name,
          host: hostOf({ v, a, b }, {
            "/v.m3u8": masterOf([["ja", "/a.m3u8"], ...(b.length === 0 ? [] : [["en", "/b.m3u8"]] as const)]),
            "/video.m3u8": listOf(v, "v"),
            "/a.m3u8": listOf(a, "a"),
            "/b.m3u8": listOf(b, "b"),
          }),
          expected: {
            outcome: "archived" as const,
            parts: v.map(sourceOf),
            audioParts: a.map(sourceOf),
            languages: b.length === 0 ? ["jpn"] : ["jpn", "eng"],
          },
        };
      };
      return { name, gate: title.endsWith("restart") && container === "ts", make };
    })
  );
}

export function masterOf(audio: readonly (readonly [language: string, url: string])[]): string {
  return [
    "#EXTM3U",
    ...audio.map(([language, url], i) =>
      `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="${language}",LANGUAGE="${language}",DEFAULT=${
        i === 0 ? "YES" : "NO"
      },URI="${url}"`
    ),
    '#EXT-X-STREAM-INF:BANDWIDTH=500000,AUDIO="a"',
    "/video.m3u8",
    "",
  ].join("\n");
}
