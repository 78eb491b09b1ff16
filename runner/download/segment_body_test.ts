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

type Received = {
  readonly bytes: Bytes;
  readonly key?: CryptoKey;
  readonly iv?: Bytes;
  readonly mayBeEmpty?: boolean;
  readonly isText?: boolean;
};

/** The output for `bytes` that arrive in chunks of `step`, and the longest buffer used. */
async function read({ bytes, key, iv = new Uint8Array(16), ...options }: Received, step = 10_007) {
  const written: Bytes[] = [];
  using body = new SegmentBody({
    key: key === undefined ? null : Promise.resolve(key),
    iv,
    ...options,
    write: (clear) => Promise.resolve(void written.push(clear.slice())),
  });
  for (let at = 0; at < bytes.length; at += step) await body.push(bytes.subarray(at, at + step));
  const container = await body.end();
  const longest = Math.max(0, ...written.map((piece) => piece.length));
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

Deno.test("SegmentBody: subtitles: any text, or none → text; a page → damaged", async () => {
  for (const text of ["WEBVTT\n\n", "<?xml version='1.0'?><tt/>", "", "not WebVTT"]) {
    const bytes = new TextEncoder().encode(text);
    const result = await read({ bytes, isText: true });
    assert.deepEqual([result.container, result.bytes], ["vtt", bytes]);
  }
  const page = new TextEncoder().encode("\n<!DOCTYPE html><html></html>");
  await assert.rejects(read({ bytes: page, isText: true }), DamagedSegment);
});

Deno.test("SegmentBody: subtitles, AES-128 with and without padding → decrypted", async () => {
  const key = await importKey(crypto.getRandomValues(new Uint8Array(16)));
  const iv = crypto.getRandomValues(new Uint8Array(16));
  const clear = new TextEncoder().encode("WEBVTT\n\n00:01.000 --> 00:02.000\nOne ".padEnd(64, "."));
  const padded = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key, clear));
  for (const bytes of [padded, padded.slice(0, 64)]) {
    assert.deepEqual((await read({ bytes, key, iv, isText: true })).bytes, clear);
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
    const result = await read({ bytes, key, iv });
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
    "between cipher blocks": [{ bytes: bytes.slice(0, -32), key }, /cannot be decrypted/],
    "another IV": [{ bytes, key, iv: new Uint8Array(16).fill(1) }, /is neither/],
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

/** AES-CBC without the block of padding. `clear` has whole cipher blocks. */
async function encryptUnpadded(clear: Bytes, key: CryptoKey): Promise<Bytes> {
  assert.equal(clear.length % 16, 0);
  const cipher = await crypto.subtle.encrypt({ name: "AES-CBC", iv: new Uint8Array(16) }, key, clear);
  return new Uint8Array(cipher, 0, clear.length).slice();
}

/** A `free` box of `length` bytes that end with `end`. */
function freeBox(length: number, end: readonly number[] = []): Bytes {
  const box = new Uint8Array(length).fill(0x55);
  box.set([length >> 24, length >> 16, length >> 8, length, ...new TextEncoder().encode("free")]);
  box.set(end, length - end.length);
  return box;
}

Deno.test("SegmentBody: AES-128 without padding, whole → decrypted", async () => {
  const key = await importKey(crypto.getRandomValues(new Uint8Array(16)));
  const packets = long.slice(0, 752 * Math.floor(long.length / 752)); // whole packets and whole cipher blocks
  const likePadding = packets.slice();
  likePadding[likePadding.length - 1] = 1;
  for (
    const clear of [
      packets,
      likePadding,
      freeBox(2 * BLOCK_BYTES),
      freeBox(BLOCK_BYTES + 16, [2, 2]),
      new Uint8Array([...freeBox(32), ...freeBox(48, [1])]),
    ]
  ) {
    const bytes = await encryptUnpadded(clear, key);
    assert.deepEqual((await read({ bytes, key })).bytes, clear);
    const cut = bytes.slice(0, -16);
    await assert.rejects(read({ bytes: cut, key }), /cannot be decrypted|ends inside/);
  }
  const other = await importKey(crypto.getRandomValues(new Uint8Array(16)));
  await assert.rejects(read({ bytes: await encryptUnpadded(packets, other), key }), /is neither/);
  const text = new TextEncoder().encode("WEBVTT\n\n00:01.000 "); // text has no boundary to check
  await assert.rejects(read({ bytes: await encryptUnpadded(text.slice(0, 16), key), key }), /cannot be decrypted/);
});

Deno.test("SegmentBody: bytes after the last TS packet → dropped, up to 187", async () => {
  const key = await importKey(crypto.getRandomValues(new Uint8Array(16)));
  for (const count of [1, 7, 100, 187]) {
    for (const fill of [0, 0xff, 0x20]) {
      const bytes = new Uint8Array([...long, ...new Uint8Array(count).fill(fill)]);
      for (const step of [1880, 10_007, bytes.length]) {
        assert.deepEqual((await read({ bytes }, step)).bytes, long, `${count} of ${fill}`);
      }
      const cipher = await crypto.subtle.encrypt({ name: "AES-CBC", iv: new Uint8Array(16) }, key, bytes);
      assert.deepEqual((await read({ bytes: new Uint8Array(cipher), key })).bytes, long, `${count} encrypted`);
    }
  }
});

Deno.test("SegmentBody: other bytes at the end or between packets → damaged", async () => {
  const text = (body: string) => new TextEncoder().encode(body);
  const cases: Record<string, [Bytes, RegExp]> = {
    "188 stray bytes": [new Uint8Array([...long, ...new Uint8Array(188)]), /not MPEG-TS/],
    "a cut packet": [long.slice(0, -88), /inside a TS packet/],
    "the start of a packet": [new Uint8Array([...long, 0x47]), /inside a TS packet/],
    "a short page": [new Uint8Array([...long, ...text("<html><h1>502 Bad Gateway</h1></html>")]), /ends with text/],
    "short JSON": [new Uint8Array([...long, ...text('{"error":"expired"}\n')]), /ends with text/],
    "a page of 1 KiB at the end": [new Uint8Array([...long, ...text("<p>error</p>".repeat(86))]), /not MPEG-TS/],
    "a page in the middle": [
      new Uint8Array([...long.slice(0, 188_000), ...text("<p>error</p>".repeat(86)), ...long.slice(188_000)]),
      /not MPEG-TS/,
    ],
    "a page over packets": [
      new Uint8Array([...long.slice(0, 188_000), ...text("{}".repeat(564)), ...long.slice(188_000 + 6 * 188)]),
      /not MPEG-TS/,
    ],
    "5 bytes in the middle": [
      new Uint8Array([...long.slice(0, 188_000), 1, 2, 3, 4, 5, ...long.slice(188_000)]),
      /not MPEG-TS/,
    ],
    "a page": [text("<!doctype html><title>Not found</title>".repeat(30)), /HTML page/],
    JSON: [text('{"error":"not found"}'.repeat(60)), /is neither/],
  };
  for (const [what, [bytes, message]] of Object.entries(cases)) {
    await assert.rejects(read({ bytes }), (error) => {
      assert.ok(error instanceof DamagedSegment, what);
      assert.match(error.message, message, what);
      return true;
    });
  }
});

Deno.test("SegmentBody: 0 bytes, also encrypted → empty if allowed, else damaged", async () => {
  const key = await importKey(crypto.getRandomValues(new Uint8Array(16)));
  const iv = new Uint8Array(16);
  const cipher = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key, new Uint8Array(0)));
  for (const received of [{ bytes: new Uint8Array(0) }, { bytes: new Uint8Array(0), key }, { bytes: cipher, key }]) {
    const result = await read({ ...received, mayBeEmpty: true });
    assert.deepEqual([result.container, result.bytes.length], ["empty", 0]);
    await assert.rejects(read(received), /is empty/);
  }
  assert.equal((await read({ bytes: long, mayBeEmpty: true })).container, "ts");
});
