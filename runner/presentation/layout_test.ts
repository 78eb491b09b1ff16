import assert from "node:assert/strict";
import { childBoxes } from "../mp4/boxes.ts";
import type { OutputTrack } from "../mp4/moov.ts";
import { buildTextTrack } from "../mp4/text_track.ts";
import { box, fullBox, join, text, u16, u32 } from "../mp4/write_boxes.ts";
import { cutVideo } from "./cuts.ts";
import { layOut } from "./layout.ts";
import { planPresentation } from "./plan.ts";
import { sourceOfTracks } from "./source.ts";

const AVC = join([u32(0), u16(0), u16(1), new Uint8Array(16), u16(160), u16(90), new Uint8Array(50)]);
const ENTRY = box("avc1", AVC, box("avcC", Uint8Array.of(1, 100, 0, 31, 255, 225, 0)));

/** One sample per second, all key frames unless `sync` says otherwise. */
function video(sizes: readonly number[], sync = sizes.map(() => 1)): OutputTrack {
  const { track } = buildTextTrack([{ start: 0, end: 1, bytes: new Uint8Array(2) }], "/v");
  const count = sizes.length;
  return {
    ...track,
    ...{ handlerType: "vide", entries: [ENTRY], mediaHeader: fullBox("vmhd", { flags: 1 }, new Uint8Array(8)) },
    hdlr: fullBox("hdlr", {}, u32(0), text("vide"), new Uint8Array(13)),
    samples: {
      ...{ count, lastDuration: 1000, sizes: Uint32Array.from(sizes), sync: Uint8Array.from(sync) },
      offsets: Float64Array.from(sizes, (_, i) => i * 1e9),
      decode: Float64Array.from(sizes, (_, i) => i * 1000),
      composition: new Int32Array(count),
      files: new Uint16Array(count),
    },
  };
}

function laidOut(sizes: readonly number[]) {
  const source = sourceOfTracks([video(sizes)]);
  const plan = planPresentation(source.tracks, { segmentSeconds: 2 });
  return { plan, layout: layOut(source, plan) };
}

Deno.test("layOut: more than 4 GiB → 64-bit positions and size", () => {
  const { plan, layout } = laidOut(Array(400).fill(12_000_000));
  const head = join(layout.head);
  const names = new TextDecoder("latin1").decode(head);
  assert.ok(names.includes("co64") && !names.includes("stco\0\0\0\0\0\0\0\x01"));
  const mdat = names.indexOf("mdat") - 4;
  const data = new DataView(head.buffer);
  assert.equal(data.getUint32(mdat), 1);
  assert.equal(Number(data.getBigUint64(mdat + 8)), layout.sizeBytes - mdat);
  const offsets = names.indexOf("co64") + 12;
  for (const [i, { headBytes }] of plan.chunks.entries()) {
    assert.equal(Number(data.getBigUint64(offsets + 8 * i)), layout.positions[i]! + headBytes);
  }
});

Deno.test("layOut: up to 4 GiB → 32-bit positions", () => {
  const names = new TextDecoder("latin1").decode(join(laidOut([1000, 2000, 3000]).layout.head));
  assert.ok(names.includes("stco") && !names.includes("co64"));
  assert.ok(childBoxes(join(laidOut([1000]).layout.head.slice(0, -2)), { start: 0, end: 32 })?.[0]?.type === "ftyp");
});

Deno.test("planPresentation: 16 MB between two key frames → plain", () => {
  const tracks = sourceOfTracks([video([8e6, 8e6, 1], [1, 0, 1])]).tracks;
  assert.throws(() => planPresentation(tracks, { segmentSeconds: 2 }), /16 MB lie between/);
});

Deno.test("cutVideo: key frames → at the first after each multiple of the target", () => {
  const clock = { mediaTime: 0, hold: 0, silence: 0, lift: 0, end: 0 };
  const cuts = (keys: readonly number[], seconds: number, target: number, bytes = 1000) => {
    const sizes = Array(seconds).fill(bytes);
    const sync = sizes.map((_, i) => keys.includes(i) ? 1 : 0);
    return cutVideo(sourceOfTracks([video(sizes, sync)]).tracks[0]!, clock, target);
  };
  assert.deepEqual(cuts([0, 5, 10, 15, 20, 25], 30, 6), [0, 10, 15, 20, 25]);
  assert.deepEqual(cuts([0, 2, 4, 6, 8, 10, 12], 14, 6), [0, 6, 12]);
  assert.deepEqual(cuts([0, 20], 30, 6), [0, 20]);
  assert.deepEqual(cuts([0, 11, 12, 13], 20, 6), [0, 11, 13]);
  assert.deepEqual(cuts([0, 1, 2, 3, 4], 5, 6, 4e6), [0, 2, 4], "high bit rate");
});
