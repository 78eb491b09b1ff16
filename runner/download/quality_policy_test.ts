import assert from "node:assert/strict";
import type { Variant } from "../../core/hls/playlist.ts";
import { furtherHeights, orderWished, parseQualities, preferredHeight, type QualityPolicy } from "./quality_policy.ts";
import { offeredHeights } from "./variant_choice.ts";

const variant = (size: string | null, more: Partial<Variant> = {}): Variant => {
  const [width, height] = size === null ? [null, null] : size.split("x").map(Number) as [number, number];
  const named = { url: `https://cdn.test/${size}`, bandwidth: 1, codecs: null, frameRate: null };
  return { ...named, width, height, audio: null, subtitles: null, ...more };
};

const offer = (...variants: readonly Variant[]) => ({ variants, renditions: [] });

const further = (policy: QualityPolicy, sizes: readonly (string | null)[], main: number | null) =>
  furtherHeights(policy, { offered: offeredHeights(offer(...sizes.map((size) => variant(size)))), main });

Deno.test("parseQualities: as the database stores it; unknown text → label", () => {
  assert.deepEqual(["label", "all", "720,360", "72", "best", "", "720p", null].map(parseQualities), [
    ...["label", "all", [720, 360], [72], "label", "label", "label", "label"],
  ]);
});

Deno.test("furtherHeights: label → none; all → each once; a list → those offered", () => {
  const sizes = ["640x360", "1920x1080", "1280x720", "1920x1088", "854x480", null];
  assert.deepEqual(further("label", sizes, 720), []);
  assert.deepEqual(further("all", sizes, 720), [1080, 480, 360]);
  assert.deepEqual(further([720, 360, 2160], sizes, 1080), [720, 360]);
  assert.deepEqual(further([368], sizes, 1080), [360], "encoders round up");
  assert.deepEqual(further("all", sizes, null), [1080, 720, 480, 360], "the size of the job's own is unknown");
});

Deno.test("furtherHeights: portrait and wide films → by their nominal height", () => {
  assert.deepEqual(further("all", ["1080x1920", "720x1280", "360x640"], 1080), [720, 360]);
  assert.deepEqual(further("all", ["1920x800", "1280x534"], 1080), [720]);
});

Deno.test("furtherHeights: 500 variants, impossible sizes → at most nine", () => {
  const many = Array.from({ length: 500 }, (_, i) => `${2 * i + 2}x${i + 1}`);
  const heights = further("all", many, 500);
  assert.equal(heights.length, 9);
  assert.deepEqual(heights, heights.toSorted((a, b) => b - a));
  assert.deepEqual(further("all", ["99999x99999", "1x1", "0x0", "1280x720"], null), [720]);
});

Deno.test("furtherHeights: audio-only variants → none", () => {
  const audio = variant(null, { codecs: "mp4a.40.2" });
  assert.deepEqual(furtherHeights("all", { offered: offeredHeights(offer(audio, audio)), main: null }), []);
});

Deno.test("preferredHeight: no stated height → the largest listed one that is offered", () => {
  assert.equal(preferredHeight([720, 360], [1080, 720, 360]), "720p");
  assert.equal(preferredHeight([720, 360], [1080, 480, 360]), "360p");
  assert.equal(preferredHeight([2160], [1080]), null);
  assert.equal(preferredHeight("all", [1080]), null);
});

Deno.test("orderWished: exact → only that height, best codec and bandwidth first", () => {
  const all = offer(
    variant("640x360", { bandwidth: 9, codecs: "hvc1.1.6.L63.90,mp4a.40.2" }),
    variant("640x360", { bandwidth: 1, codecs: "avc1.42c01e,mp4a.40.2" }),
    variant("640x368", { bandwidth: 5, codecs: "avc1.42c01e,mp4a.40.2" }),
    variant("854x480", { codecs: "avc1.42c01e,mp4a.40.2" }),
  );
  const ordered = orderWished(all, { wanted: "360p", exact: true }, "all");
  assert.deepEqual(ordered.map((one) => [one.variant.codecs!.slice(0, 4), one.variant.bandwidth]), [
    ["avc1", 5],
    ["avc1", 1],
    ["hvc1", 9],
  ]);
  assert.throws(() => orderWished(all, { wanted: "720p", exact: true }, "all"), {
    code: "unsupported",
    message: "the source does not offer 720p",
  });
  assert.equal(orderWished(all, { wanted: "720p" }, "label")[0]!.variant.height, 480);
});
