// Manifests: sealed, opened, and refused with a code whatever was changed.
import assert from "node:assert/strict";
import { KeepstreamError } from "../errors.ts";
import { assertDescribes, endingOf, type Manifest, openManifest, sealManifest } from "./manifest.ts";
import { manifestKey, sealText } from "./sealing.ts";

const KEY = "0123456789abcdef0123456789abcdef";
const SALT = "a salt of the operator";
const SHA = "ab".repeat(32);
const key = await manifestKey(SALT);
const open = (text: string, salts = [SALT]) =>
  Promise.all(salts.map(manifestKey)).then((keys) => openManifest(text, { keys, fileKey: KEY }));

const MANIFEST: Manifest = {
  mal_id: 55825,
  episode: 1,
  provider: "animasu",
  resolution: "720p",
  file_key: KEY,
  file: { name: `${KEY}.mp4`, size: 1000, sha256: SHA },
  sidecars: [
    { name: `${KEY}.m3u8`, size: 10, sha256: SHA },
    { name: `${KEY}.s12.vtt`, size: 0, sha256: SHA },
  ],
  duration: 1440.1,
  width: 1280,
  height: 720,
  presentation: {
    form: "hybrid",
    plain_because: null,
    duration: 1440.1,
    segments: 264,
    tracks: [{
      kind: "audio",
      playlist: "a0",
      codec: "mp4a.40.2",
      language: "ja",
      label: "Japanese",
      default: true,
      forced: false,
      channels: 2,
      width: null,
      height: null,
      frame_rate: null,
      bandwidth: 128_000,
      average_bandwidth: 127_000,
    }],
  },
  chapters: [{ seconds: 0, title: "第1章", kind: "intro" }],
  title: null,
  source: { page: "https://videos.test/watch/1", kind: "hls" },
  rights: "own work",
  archived_at: "2026-11-30T07:00:00.000Z",
  keepstream: "0.1.0",
};

/** An envelope with this content, properly sealed. */
const sealed = (content: unknown) => sealText(typeof content === "string" ? content : JSON.stringify(content), key);

async function codeOf(run: Promise<unknown>): Promise<string> {
  const error = await run.then(() => null, (reason) => reason);
  assert.ok(error instanceof KeepstreamError, `a KeepstreamError, not ${error}`);
  assert.ok(error.message.length < 300, "the manifest's own text is not repeated at length");
  return error.code;
}

Deno.test("manifest: sealed and opened → the same, and nothing in clear", async () => {
  const text = await sealManifest(MANIFEST, key);
  assert.deepEqual(await open(text), MANIFEST);
  const { format, version, kid, iv, sealed, ...rest } = JSON.parse(text);
  assert.deepEqual([format, version, kid, rest], ["keepstream-manifest", 1, key.kid, {}]);
  assert.match(`${iv} ${sealed}`, /^[A-Za-z0-9+/=]{16} [A-Za-z0-9+/=]+$/);
  assert.match(kid, /^[0-9a-f]{16}$/);
  assert.doesNotMatch(text, /55825|animasu|videos/);
});

Deno.test("manifest: sealed twice → equal; another content → another iv", async () => {
  const first = await sealManifest(MANIFEST, key);
  assert.equal(await sealManifest(MANIFEST, await manifestKey(SALT)), first);
  const other = await sealManifest({ ...MANIFEST, episode: 2 }, key);
  assert.notEqual(JSON.parse(other).iv, JSON.parse(first).iv);
});

Deno.test("manifest: a former salt is listed → opened; another one → refused", async () => {
  const text = await sealManifest(MANIFEST, await manifestKey("a former salt"));
  assert.deepEqual(await open(text, [SALT, "a former salt"]), MANIFEST);
  assert.equal(await codeOf(open(text)), "invalid_input");
  assert.notEqual((await manifestKey("a former salt")).kid, key.kid);
});

Deno.test("manifest: any byte of the envelope is changed → refused", async () => {
  const envelope = JSON.parse(await sealManifest(MANIFEST, key));
  const flip = (text: string, at: number) => text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
  for (const at of [0, 5, 100, envelope.sealed.length - 5]) {
    assert.equal(
      await codeOf(open(JSON.stringify({ ...envelope, sealed: flip(envelope.sealed, at) }))),
      "invalid_input",
    );
  }
  assert.equal(await codeOf(open(JSON.stringify({ ...envelope, iv: flip(envelope.iv, 3) }))), "invalid_input");
});

const ENVELOPES: Record<string, readonly [object | string, string]> = {
  "10 MB": ["x".repeat(10_000_000), "too_large"],
  "not JSON": ["#EXTM3U", "invalid_input"],
  "an array": [[], "invalid_input"],
  "deeply nested": ["[".repeat(500_000), "invalid_input"],
  "another format": [{ format: "zip" }, "invalid_input"],
  "a newer version": [{ version: 2 }, "unsupported"],
  "no version": [{ version: undefined }, "unsupported"],
  "a key id that is no hex": [{ kid: "../../etc/passwd" }, "invalid_input"],
  "bad base64": [{ sealed: "***" }, "invalid_input"],
  "a short iv": [{ iv: "AAAA" }, "invalid_input"],
  "an iv that is no text": [{ iv: 7 }, "invalid_input"],
  "nothing sealed": [{ sealed: "" }, "invalid_input"],
};
for (const [name, [change, code]] of Object.entries(ENVELOPES)) {
  Deno.test(`manifest: an envelope with ${name} → ${code}`, async () => {
    const good = JSON.parse(await sealManifest(MANIFEST, key));
    const text = typeof change === "string"
      ? change
      : Array.isArray(change)
      ? "[]"
      : JSON.stringify({ ...good, ...change });
    assert.equal(await codeOf(open(text)), code);
  });
}

const SIDECAR = { name: `${KEY}.m3u8`, size: 1, sha256: SHA };
const CONTENTS: Record<string, unknown> = {
  "no JSON": "{",
  "null": null,
  "a negative size": { file: { ...MANIFEST.file, size: -1 } },
  "a size of 2^60": { file: { ...MANIFEST.file, size: 2 ** 60 } },
  "a fractional size": { file: { ...MANIFEST.file, size: 1.5 } },
  "a huge sidecar": { sidecars: [{ ...SIDECAR, size: 2 ** 40 }] },
  "no hash": { file: { ...MANIFEST.file, sha256: "" } },
  "another archive's key": { file_key: "f".repeat(32) },
  "another file": { file: { ...MANIFEST.file, name: "secret.mp4" } },
  "a path": { sidecars: [{ ...SIDECAR, name: `${KEY}/../../x.m3u8` }] },
  "a path as ending": { sidecars: [{ ...SIDECAR, name: `${KEY}.m3u8/../x` }] },
  "a manifest in itself": { sidecars: [{ ...SIDECAR, name: `${KEY}.manifest` }] },
  "a sidecar twice": { sidecars: [SIDECAR, SIDECAR] },
  "300 sidecars": { sidecars: Array.from({ length: 300 }, (_, i) => ({ ...SIDECAR, name: `${KEY}.s${i}.vtt` })) },
  "a playlist that is a path": {
    presentation: { ...MANIFEST.presentation, tracks: [{ ...MANIFEST.presentation!.tracks[0], playlist: "../a0" }] },
  },
  "a long title": { title: "x".repeat(301) },
};
for (const [name, change] of Object.entries(CONTENTS)) {
  Deno.test(`manifest: sealed content with ${name} → invalid_input`, async () => {
    const content = change !== null && typeof change === "object" ? { ...MANIFEST, ...change } : change;
    assert.equal(await codeOf(open(await sealed(content))), "invalid_input");
  });
}

Deno.test("manifest: a later field → ignored; __proto__ → no effect", async () => {
  const text = JSON.stringify({ ...MANIFEST, later: 1 }).replace(/}$/, ',"__proto__":{"polluted":true}}');
  const opened = await open(await sealed(text));
  assert.deepEqual(opened, MANIFEST);
  assert.equal((opened as { polluted?: unknown }).polluted, undefined);
});

Deno.test("manifest: the file has another hash or size → refused", async () => {
  assertDescribes(MANIFEST, { sha256: SHA, sizeBytes: 1000 });
  for (const file of [{ sha256: "cd".repeat(32), sizeBytes: 1000 }, { sha256: SHA, sizeBytes: 999 }]) {
    assert.equal(await codeOf((async () => await assertDescribes(MANIFEST, file))()), "invalid_input");
  }
  assert.equal(endingOf(MANIFEST, MANIFEST.sidecars[1]!), ".s12.vtt");
});
