import assert from "node:assert/strict";
import { type Bytes, readClip } from "../../dev/emulators/origin/clip.ts";
import { BoxWalk } from "./box_walk.ts";
import { BLOCK_BYTES, DamagedSegment, SegmentBody } from "./segment_body.ts";
import { TsSpan } from "./ts_span.ts";

const clip = await readClip();
/** Twelve seconds: several blocks. */
const long = new Uint8Array(await new Blob([...clip.ts]).arrayBuffer());
const PNG = Uint8Array.fromHex(
  "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000049454e44ae426082",
);

type Received = { readonly bytes: Bytes; readonly key?: CryptoKey; readonly iv?: Bytes; readonly seconds?: number };

/** The output for `bytes` that arrive in chunks of `step`, and the longest buffer used. */
async function read({ bytes, key, iv = new Uint8Array(16), seconds = 12 }: Received, step = 10_007) {
  const written: Bytes[] = [];
  using body = new SegmentBody({
    key: key === undefined ? null : Promise.resolve(key),
    iv,
    durationSeconds: seconds,
    write: (clear) => Promise.resolve(void written.push(clear.slice())),
  });
  for (let at = 0; at < bytes.length; at += step) await body.push(bytes.subarray(at, at + step));
  const container = await body.end();
  const longest = Math.max(...written.map((piece) => piece.length));
  return { container, longest, bytes: new Uint8Array(await new Blob(written).arrayBuffer()) };
}

function importKey(raw: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", raw, "AES-CBC", false, ["encrypt", "decrypt"]);
}

Deno.test("SegmentBody: many blocks, chunks of any length → one block buffered", async () => {
  assert.ok(long.length > 3 * BLOCK_BYTES);
  for (const step of [1880, 10_007, BLOCK_BYTES, long.length]) {
    const result = await read({ bytes: long }, step);
    assert.equal(result.container, "ts");
    assert.ok(result.longest <= BLOCK_BYTES);
    assert.deepEqual(result.bytes, long);
  }
});

Deno.test("SegmentBody: AES-128 of many blocks → decrypted", async () => {
  const key = await importKey(crypto.getRandomValues(new Uint8Array(16)));
  const iv = crypto.getRandomValues(new Uint8Array(16));
  const tail = 2 * BLOCK_BYTES - (2 * BLOCK_BYTES) % 188;
  // A free box of varying length moves the padding before, onto and after the end of a block.
  for (const length of [tail, 2 * BLOCK_BYTES - 16, 2 * BLOCK_BYTES - 1, 2 * BLOCK_BYTES]) {
    const clear = new Uint8Array(length);
    if (length === tail) clear.set(long.subarray(0, tail));
    else clear.set([length >> 24, length >> 16, length >> 8, length, ...new TextEncoder().encode("free")]);
    const bytes = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key, clear));
    const result = await read({ bytes, key, iv, seconds: 1 });
    assert.ok(result.longest <= BLOCK_BYTES);
    assert.deepEqual(result.bytes, clear, `${length} bytes`);
  }
});

Deno.test("SegmentBody: AES-128 cut, wrong key, wrong IV, empty → damaged", async () => {
  const key = await importKey(crypto.getRandomValues(new Uint8Array(16)));
  const other = await importKey(crypto.getRandomValues(new Uint8Array(16)));
  const iv = new Uint8Array(16);
  const bytes = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key, long));
  const cases: Record<string, [Received, RegExp]> = {
    "inside a cipher block": [{ bytes: bytes.slice(0, -7), key }, /whole number of cipher blocks/],
    "between cipher blocks": [{ bytes: bytes.slice(0, -32), key }, /cannot be decrypted|ends inside/],
    "another key": [{ bytes, key: other }, /is neither/],
    empty: [{ bytes: new Uint8Array(0), key }, /is empty/],
  };
  for (const [what, [received, message]] of Object.entries(cases)) {
    await assert.rejects(
      read(received),
      (error) => error instanceof DamagedSegment && message.test(error.message),
      what,
    );
  }
});

Deno.test("SegmentBody: an image in front → removed, the rest checked to its end", async () => {
  const disguised = new Uint8Array([...PNG, ...long]);
  assert.deepEqual((await read({ bytes: disguised })).bytes, long);
  await assert.rejects(read({ bytes: disguised.slice(0, -1) }), /inside a TS packet/);
  const half = disguised.slice(0, PNG.length + Math.floor(long.length / 376) * 188);
  await assert.rejects(read({ bytes: half, seconds: 12.5 }), /of the announced 12.5 s/);
});

Deno.test("TsSpan: 12 s, in chunks of any length → 12; half → 6; none → null", () => {
  for (const step of [1, 187, 188, 1000, long.length]) {
    const span = new TsSpan();
    const part = step === 1 ? clip.ts[1]! : long;
    for (let at = 0; at < part.length; at += step) span.push(part.subarray(at, at + step));
    assert.ok(Math.abs(span.seconds()! - (step === 1 ? 2 : 12)) < 0.15, `${span.seconds()}`);
    assert.ok(span.whole);
    span.push(part.subarray(0, 100));
    assert.ok(!span.whole);
  }
  const none = new TsSpan();
  none.push(new Uint8Array(1880));
  assert.equal(none.seconds(), null);
});

Deno.test("BoxWalk: complete, cut, empty, open-ended, 64-bit boxes in any chunks", () => {
  const free = [0, 0, 0, 12, 0x66, 0x72, 0x65, 0x65, 1, 2, 3, 4];
  const large = [0, 0, 0, 1, 0x66, 0x72, 0x65, 0x65, 0, 0, 0, 0, 0, 0, 0, 18, 1, 2];
  const cases: [readonly number[], string | null][] = [
    [[...free, ...large, ...free], null],
    [[...free, 0, 0, 0, 0, 0x6d, 0x64, 0x61, 0x74, 9, 9, 9], null],
    [[...free, ...free.slice(0, -1)], "ends inside an MP4 box"],
    [[...free, ...large.slice(0, 12)], "ends inside an MP4 box"],
    [[...free, 0, 0, 0, 7, 0x66, 0x72, 0x65, 0x65, 1, 2, 3], "has a box of length 0"],
    [[0, 0, 0, 1, 0x66, 0x72, 0x65, 0x65, 0, 0, 0, 0, 0, 0, 0, 15, 1, 2], "has a box of length 0"],
  ];
  for (const [bytes, problem] of cases) {
    for (const step of [1, 5, 100]) {
      const walk = new BoxWalk();
      for (let at = 0; at < bytes.length; at += step) walk.push(Uint8Array.from(bytes.slice(at, at + step)));
      assert.equal(walk.problem(), problem, `${bytes} in pieces of ${step}`);
    }
  }
  const init = new BoxWalk();
  init.push(clip.init);
  assert.equal(init.problem(), null);
});
