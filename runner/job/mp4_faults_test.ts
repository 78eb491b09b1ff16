/** Faults of real MP4 hosts: complete files are accepted, incomplete ones never. */
import assert from "node:assert/strict";
import { playlistOf } from "../../dev/emulators/origin/clip.ts";
import { ranged, slowly, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { assertWhole, clip, ffprobe, hlsHost, names } from "../../dev/testing/clip_host.ts";

async function videoWidth(path: string): Promise<number> {
  return ((await ffprobe(path, "stream=width")).streams as { width?: number }[])[0]!.width!;
}

Deno.test("MP4: moov at the end → moved to the front; no ranges → one stream", async () => {
  await using fixture = await startFetchFixture((_, request) =>
    new Response(request.method === "HEAD" ? null : clip.mp4, {
      headers: { "content-length": String(clip.mp4.length) },
    })
  );
  const result = await fixture.fetch("/a.mp4");
  await assertWhole(result);
  const text = new TextDecoder("latin1").decode(await Deno.readFile(result.final.path));
  assert.ok(text.indexOf("moov") < text.indexOf("mdat"));
});

Deno.test("MP4: replaced between two runs (other ETag) → started over", async () => {
  let version = 1;
  const cut = new AbortController();
  await using fixture = await startFetchFixture((_, request) => {
    const bytes = version === 1 ? clip.mp4 : clip.otherMp4;
    const response = ranged(request, bytes, { etag: `"v${version}"` });
    return version === 1 && request.headers.get("range") !== "bytes=0-16383" ? slowly(response) : response;
  });
  const id = crypto.randomUUID();
  await assert.rejects(
    fixture.fetch("/a.mp4", { id, signal: cut.signal, onProgress: (done) => done > 100_000 && cut.abort() }),
  );
  const left = await Deno.stat(`${fixture.dir}/job-${id}/media.bin`);
  assert.ok(left.size > 0, "the first run left something to resume");
  version = 2;
  const result = await fixture.fetch("/a.mp4", { id });
  assert.equal(fixture.resumed.length, 0);
  assert.equal(await videoWidth(result.final.path), 320);
});

Deno.test("MP4: interrupted → resumed; without its control file → started over", async () => {
  let slow = true;
  await using fixture = await startFetchFixture((_, request) => {
    const response = ranged(request, clip.mp4, { etag: '"same"' });
    return slow && request.headers.get("range") !== "bytes=0-16383" ? slowly(response) : response;
  });
  const damages: Record<string, (path: string) => Promise<void>> = {
    none: () => Promise.resolve(),
    lost: (path) => Deno.remove(path),
    "cut short": (path) => Deno.truncate(path, 20), // as a full disk leaves it
    empty: (path) => Deno.truncate(path),
    overwritten: async (path) => Deno.writeFile(path, new Uint8Array((await Deno.stat(path)).size)), // as after a power failure
  };
  for (const [what, damage] of Object.entries(damages)) {
    slow = true;
    const id = crypto.randomUUID();
    const cut = new AbortController();
    await assert.rejects(
      fixture.fetch("/a.mp4", { id, signal: cut.signal, onProgress: (done) => done > 100_000 && cut.abort() }),
    );
    await damage(`${fixture.dir}/job-${id}/media.bin.aria2`);
    slow = false;
    const before = fixture.asked.length;
    await assertWhole(await fixture.fetch("/a.mp4", { id }));
    assert.ok(fixture.asked.length > before, what);
    if (what === "none" || what === "lost") {
      assert.equal(fixture.resumed.filter((resumed) => resumed.from === "aria2").length, 1, what);
    }
  }
});

Deno.test("MP4: one connection accepted → fewer connections, complete", async () => {
  let open = 0;
  let refused = 0;
  const big = new Uint8Array(clip.mp4.length + 8 + 6_000_000); // aria2 splits from 2 MB on; a free box changes nothing else
  big.set(clip.mp4);
  new DataView(big.buffer).setUint32(clip.mp4.length, 8 + 6_000_000);
  big.set(new TextEncoder().encode("free"), clip.mp4.length + 4);
  await using fixture = await startFetchFixture(async (_, request) => {
    if (request.headers.get("range") === "bytes=0-16383") return ranged(request, big, { etag: '"1"' });
    if (open >= 1) {
      refused++;
      return new Response(null, { status: 503 });
    }
    open++;
    await new Promise((done) => setTimeout(done, 300));
    open--;
    return ranged(request, big, { etag: '"1"' });
  });
  await assertWhole(await fixture.fetch("/a.mp4"));
  assert.ok(refused > 0);
});

Deno.test("MP4: downloaded during the probe → the probe may wait for it", async () => {
  const begun = Promise.withResolvers<void>();
  await using fixture = await startFetchFixture(async (_, request) => {
    if (request.headers.get("range") === "bytes=0-16383") await begun.promise;
    else begun.resolve();
    return ranged(request, clip.mp4, { etag: '"1"' });
  });
  await assertWhole(await fixture.fetch("/a.mp4"));
  assert.equal(fixture.resumed.length, 0);
});

Deno.test("MP4 URL: a page or a playlist → the started download is discarded", async () => {
  const id = crypto.randomUUID();
  const began = Promise.withResolvers<void>();
  let page = true;
  await using fixture = await startFetchFixture(async (path, request) => {
    if (path !== "/a.mp4") return hlsHost(clip.ts)(path, request);
    if (request.headers.get("range") === "bytes=0-16383") await began.promise;
    else setTimeout(began.resolve, 100); // so that it is on disk
    return new Response(page ? "<!doctype html><title>no</title>" : playlistOf(names));
  });
  await assert.rejects(fixture.fetch("/a.mp4", { id }), { code: "unsupported" });
  const left = (await Array.fromAsync(Deno.readDir(`${fixture.dir}/job-${id}`))).map(({ name }) => name).sort();
  assert.deepEqual(left, ["lock", "state.json"]);
  page = false;
  await assertWhole(await fixture.fetch("/a.mp4", { id }));
});

Deno.test("MP4: one connection, the probe counts → probed again alone, complete", async () => {
  let open = 0;
  let refusedProbes = 0;
  await using fixture = await startFetchFixture(async (_, request) => {
    const probe = request.headers.get("range") === "bytes=0-16383";
    if (probe && refusedProbes === 0) { while (open === 0) await new Promise((done) => setTimeout(done, 5)); }
    if (open >= 1) {
      if (probe) refusedProbes++;
      return new Response(null, { status: 503 });
    }
    open++;
    await new Promise((done) => setTimeout(done, 200));
    open--;
    return ranged(request, clip.mp4, { etag: '"1"' });
  });
  await assertWhole(await fixture.fetch("/a.mp4"));
  assert.ok(refusedProbes > 0);
});

Deno.test("MP4: replaced during the download → discarded, the new one complete", async () => {
  let etag = '"1"';
  let downloads = 0;
  await using fixture = await startFetchFixture((_, request) => {
    const bytes = etag === '"1"' ? clip.mp4 : clip.otherMp4;
    const response = ranged(request, bytes, { etag });
    if (request.headers.get("range") === "bytes=0-16383") return response;
    downloads++;
    if (downloads === 1) etag = '"2"'; // after the first response of the download
    return response;
  });
  assert.equal(await videoWidth((await fixture.fetch("/a.mp4")).final.path), 320);
  assert.ok(downloads >= 2);
});

Deno.test("MP4: the URL expires during the download → resolved again, complete", async () => {
  let token = 1;
  await using fixture = await startFetchFixture((path, request) => {
    if (path === "/embed") {
      const page = `<script>setup({ file: "${fixture.url}/t${token}/a.mp4" })</script>`;
      return new Response(page, { headers: { "content-type": "text/html" } });
    }
    if (path !== `/t${token}/a.mp4`) return new Response(null, { status: 403 });
    if (token === 1 && request.headers.get("range") !== "bytes=0-16383") {
      token = 2;
      return new Response(null, { status: 403 });
    }
    return ranged(request, clip.mp4, { etag: '"1"' });
  });
  await assertWhole(await fixture.fetch(`${fixture.url}/t1/a.mp4`, { embedUrl: `${fixture.url}/embed` }));
  assert.ok(fixture.asked.includes("/t2/a.mp4"));
});

Deno.test("MP4: the URL expires with the last byte → compared, not loaded again", async () => {
  let token = 1;
  let downloads = 0;
  await using fixture = await startFetchFixture((path, request) => {
    if (path === "/embed") {
      const page = `<script>setup({ file: "${fixture.url}/t${token}/a.mp4" })</script>`;
      return new Response(page, { headers: { "content-type": "text/html" } });
    }
    if (path !== `/t${token}/a.mp4`) return new Response(null, { status: 403 });
    const isProbe = request.headers.get("range") === "bytes=0-16383";
    if (isProbe && token === 1) probed.resolve();
    if (isProbe) return ranged(request, clip.mp4, { etag: '"1"' });
    downloads++;
    return probed.promise.then(() => {
      token = 2;
      return ranged(request, clip.mp4, { etag: '"1"' });
    });
  });
  const probed = Promise.withResolvers<void>();
  await assertWhole(await fixture.fetch(`${fixture.url}/t1/a.mp4`, { embedUrl: `${fixture.url}/embed` }));
  assert.equal(downloads, 1);
});

Deno.test("MP4: too large for the disk, found by the probe → nothing stays on it", async () => {
  const id = crypto.randomUUID();
  const began = Promise.withResolvers<void>();
  const size = 100_000_000;
  await using fixture = await startFetchFixture(async (_, request) => {
    if (request.headers.get("range") === "bytes=0-16383") {
      await began.promise;
      const headers = { "content-range": `bytes 0-16383/${size}`, etag: '"1"' };
      return new Response(clip.mp4.slice(0, 16384), { status: 206, headers });
    }
    setTimeout(began.resolve, 100); // so that it is on disk
    const body = new ReadableStream({ start: (controller) => controller.enqueue(clip.mp4.slice(0, 20_000)) });
    return new Response(body, { headers: { "content-length": String(size), etag: '"1"' } });
  });
  await assert.rejects(fixture.fetch("/a.mp4", { id, freeBytes: 400 * 1024 * 1024 }), { code: "disk_full" });
  const left = (await Array.fromAsync(Deno.readDir(`${fixture.dir}/job-${id}`))).map(({ name }) => name).sort();
  assert.deepEqual(left, ["lock", "state.json"]);
});

Deno.test("MP4: aria2c does not respond → a stop ends the job nevertheless", async () => {
  const stop = new AbortController();
  await using fixture = await startFetchFixture((_, request) => {
    if (request.headers.get("range") === "bytes=0-16383") return ranged(request, clip.mp4, { etag: '"1"' });
    const body = new ReadableStream({ start: (controller) => controller.enqueue(clip.mp4.slice(0, 20_000)) });
    return new Response(body, { headers: { "content-length": String(clip.mp4.length), etag: '"1"' } });
  });
  let stopped = false;
  const fetching = fixture.fetch("/a.mp4", {
    signal: stop.signal,
    onProgress: (done) => {
      if (done === 0 || stopped) return;
      stopped = true;
      const found = new Deno.Command("pgrep", { args: ["-f", `aria2c --conf-path=${fixture.dir}/`] }).outputSync();
      Deno.kill(Number(new TextDecoder().decode(found.stdout)), "SIGSTOP");
      setTimeout(() => stop.abort(new Error("stopped")), 500);
    },
  });
  await assert.rejects(fetching, /stopped/);
});

Deno.test("MP4: the file cannot be created (no inodes) → disk_full", async () => {
  await using fixture = await startFetchFixture((_, request) => ranged(request, clip.mp4));
  const id = crypto.randomUUID();
  await Deno.mkdir(`${fixture.dir}/job-${id}/media.bin/in-the-way`, { recursive: true });
  await assert.rejects(fixture.fetch("/a.mp4", { id }), { code: "disk_full" });
});

Deno.test("child: 400 MB on stderr → its end is kept, the exit code counts", async () => {
  const { runChild } = await import("../process/child.ts");
  // Only this test's own heap and buffers: others run in the same process.
  const kept = () => Deno.memoryUsage().heapUsed + Deno.memoryUsage().external;
  const before = kept();
  const flood = "yes a-line-of-noise | head -c 400000000 >&2; echo the end >&2; exit 3";
  const { code, stderr } = await runChild("sh", ["-c", flood], { signal: new AbortController().signal });
  assert.equal(code, 3);
  assert.ok(stderr.length <= 4096 && stderr.endsWith("the end\n"));
  assert.ok(kept() - before < 200_000_000, "stderr is not kept in memory");
});
