import assert from "node:assert/strict";
import type { MediaReport } from "../../core/media_report.ts";
import { mediaRow } from "./media_row.ts";

const REPORT: MediaReport = {
  width: 1280,
  height: 720,
  tracks: [{ type: "audio", codec: "aac", language: "jpn", name: "日本語" }],
  variant: { width: 1280, height: 720, bandwidth: 5, codecs: "avc1", frame_rate: 25, reason: "matches 720p" },
  converted: [{ track: "video", code: "tagged", detail: "hvc1" }],
  left_out: [{ kind: "subtitles", code: "not_found", detail: "id" }],
  presentation: { form: "hybrid", plain_because: null, duration: 24, segments: 4, tracks: [] },
  sidecars: [".m3u8", ".poster.jpg"],
};

Deno.test("mediaRow: a report → size, and the rest unchanged", () => {
  const { width, height, ...media } = REPORT;
  assert.deepEqual(mediaRow(REPORT), { width, height, media });
});

Deno.test("mediaRow: long and hostile names → at most 64 kB of valid text", () => {
  const name = "\u0000\ud800\u001b[31m" + "ü".repeat(100_000);
  const row = mediaRow({
    ...REPORT,
    tracks: Array.from({ length: 500 }, () => ({ type: "audio", codec: name, language: name, name })),
    variant: { ...REPORT.variant!, codecs: name, reason: name },
    converted: Array.from({ length: 500 }, () => ({ track: "video", code: name, detail: name })),
    left_out: Array.from({ length: 500 }, () => ({ kind: "subtitles", code: "x", detail: name })),
    presentation: {
      ...{ form: "plain", plain_because: name, duration: 24.123456, segments: 1000 },
      tracks: Array.from({ length: 500 }, () => ({
        ...{ kind: "subtitles", playlist: "s63", codec: "avc1.640028", language: "zh-Hant", label: name },
        ...{ default: false, forced: false, channels: 8, width: 7680, height: 4320, frame_rate: 59.94 },
        ...{ bandwidth: 100_000_000, average_bandwidth: 100_000_000 },
      })),
    },
  });
  const json = JSON.stringify(row.media);
  assert.ok(new TextEncoder().encode(json).length < 65_536);
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(json, /[\u0000-\u001f\ud800-\udfff]|\\u/);
  assert.equal(row.media.left_out.length, 32);
  assert.deepEqual(row.media.left_out.at(-1), { kind: "subtitles", code: "more", detail: "469 more" });
});
