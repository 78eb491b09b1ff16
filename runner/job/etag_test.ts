/** ETags that a host generates for every response, and changes that no ETag shows. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readClip } from "../../dev/emulators/origin/clip.ts";
import { type FetchFixture, ranged, slowly, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { completedSpans } from "../download/aria2_control.ts";
import { sampleSpans } from "../download/samples.ts";

const clip = await readClip();
const PROBE_RANGE = "bytes=0-16383";

/** Serves `bytes` with a new ETag each time; responses after the probe are slow while `slow`. */
function rotatingHost(headers: Record<string, string> = {}) {
  const state = { bytes: clip.mp4, slow: false, downloads: 0 };
  let count = 0;
  const host = (_path: string, request: Request) => {
    const response = ranged(request, state.bytes, { etag: `"${count++}"`, ...headers });
    const range = request.headers.get("range");
    if (range === null || range === "bytes=0-") state.downloads++;
    return state.slow && range !== PROBE_RANGE ? slowly(response) : response;
  };
  return { state, host };
}

async function sha256(path: string): Promise<string> {
  return createHash("sha256").update(await Deno.readFile(path)).digest("hex");
}

/** The result of a download of these bytes. */
async function archived(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  await using fixture = await startFetchFixture((_, request) => ranged(request, bytes, { etag: '"1"' }));
  return (await fixture.fetch("/a.mp4")).final.sha256;
}

async function breakOff(fixture: FetchFixture, id: string): Promise<void> {
  const cut = new AbortController();
  const onProgress = (done: number) => done > 2_500_000 && cut.abort();
  await assert.rejects(fixture.fetch("/a.mp4", { id, signal: cut.signal, onProgress }));
  assert.ok((await Deno.stat(`${fixture.dir}/job-${id}/media.bin`)).size > 0, "something is left to resume");
}

for (const [what, headers] of [["", {}], [", Last-Modified", { "last-modified": "Sat, 01 Nov 2025 00:00:00 GMT" }]]) {
  Deno.test(`MP4, new ETag each time${what} → downloaded once, complete`, async () => {
    const { state, host } = rotatingHost(headers as Record<string, string>);
    await using fixture = await startFetchFixture(host);
    const { final } = await fixture.fetch("/a.mp4");
    assert.equal(final.sha256, await archived(clip.mp4));
    assert.equal(state.downloads, 1);
  });
}

Deno.test("MP4, new ETag each time: interrupted → resumed, complete", async () => {
  const { state, host } = rotatingHost();
  await using fixture = await startFetchFixture(host);
  const id = crypto.randomUUID();
  state.slow = true;
  await breakOff(fixture, id);
  state.slow = false;
  const { final } = await fixture.fetch("/a.mp4", { id });
  assert.equal(fixture.resumed.length, 1);
  assert.equal(final.sha256, await archived(clip.mp4));
  assert.equal(await sha256(final.path), final.sha256);
});

Deno.test("MP4, new ETag each time: replaced meanwhile → started over", async () => {
  const { state, host } = rotatingHost({ "last-modified": "Sat, 01 Nov 2025 00:00:00 GMT" });
  await using fixture = await startFetchFixture(host);
  const id = crypto.randomUUID();
  state.slow = true;
  await breakOff(fixture, id);
  Object.assign(state, { slow: false, bytes: clip.otherMp4 });
  const { final } = await fixture.fetch("/a.mp4", { id });
  assert.equal(fixture.resumed.length, 0);
  assert.equal(final.sha256, await archived(clip.otherMp4));
});

Deno.test("MP4 without ETag: replaced by one of equal size → started over", async () => {
  let [bytes, slow] = [clip.mp4, true];
  await using fixture = await startFetchFixture((_, request) => {
    const response = ranged(request, bytes);
    return slow && request.headers.get("range") !== PROBE_RANGE ? slowly(response) : response;
  });
  const id = crypto.randomUUID();
  await breakOff(fixture, id);
  [bytes, slow] = [clip.otherMp4, false];
  assert.equal((await fixture.fetch("/a.mp4", { id })).final.sha256, await archived(clip.otherMp4));
  assert.equal(fixture.resumed.length, 0);
});

Deno.test("MP4: replaced after the download, new ETag → the new one, complete", async () => {
  const { state, host } = rotatingHost();
  let probes = 0;
  await using fixture = await startFetchFixture((path, request) => {
    if (request.headers.get("range") === PROBE_RANGE && ++probes === 2) state.bytes = clip.otherMp4;
    return host(path, request);
  });
  assert.equal((await fixture.fetch("/a.mp4")).final.sha256, await archived(clip.otherMp4));
  assert.equal(state.downloads, 2);
});

Deno.test("MP4 without ranges, new ETag each time → complete", async () => {
  let count = 0;
  await using fixture = await startFetchFixture(() =>
    new Response(clip.mp4, { headers: { etag: `"${count++}"`, "content-length": `${clip.mp4.length}` } })
  );
  assert.equal((await fixture.fetch("/a.mp4")).final.sha256, await archived(clip.mp4));
});

Deno.test("sampleSpans: kept spans → both ends, and samples in between", () => {
  const span = (offset: number, length: number) => ({ offset, length });
  assert.deepEqual(sampleSpans([span(0, 10_000)]).map(({ offset }) => offset), [0, 1988, 3976, 5964, 7952]);
  assert.deepEqual(sampleSpans([span(1000, 4096), span(90_000, 4096)]), [
    span(1000, 2048),
    span(2536, 2048),
    span(3048, 2048),
    span(90_512, 2048),
    span(92_048, 2048),
  ]);
  assert.deepEqual(sampleSpans([span(5, 100)]), [span(5, 100)]);
  assert.deepEqual(sampleSpans([]), []);
});

Deno.test("completedSpans: a control file → its bits; damaged → null", () => {
  const control = (bits: readonly number[], { version = 1, total = 2_600_000 } = {}) => {
    const bytes = new Uint8Array(10 + 24 + bits.length + 4);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, version);
    view.setUint32(10, 1_000_000);
    view.setBigUint64(14, BigInt(total));
    view.setUint32(30, bits.length);
    bytes.set(bits, 34);
    return bytes;
  };
  assert.deepEqual(completedSpans(control([0b11100000])), [{ offset: 0, length: 2_600_000 }]);
  assert.deepEqual(completedSpans(control([0b10100000])), [
    { offset: 0, length: 1_000_000 },
    { offset: 2_000_000, length: 600_000 },
  ]);
  assert.deepEqual(completedSpans(control([0])), []);
  const damaged = [
    new Uint8Array(0),
    new Uint8Array(100),
    control([0xff, 0xff]),
    control([]),
    control([0xff], { version: 0 }),
    control([0xff]).subarray(0, 20),
  ];
  for (const bytes of damaged) assert.equal(completedSpans(bytes), null);
});
