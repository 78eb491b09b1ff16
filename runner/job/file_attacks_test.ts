/** Hostile files and hosts: first with a plain command line, where the attack succeeds, then with the runner. */
import assert from "node:assert/strict";
import { playlistOf } from "../../dev/emulators/origin/clip.ts";
import { type Host, ranged, startCanary, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { startForwardProxy } from "../network/forward_proxy.ts";
import { clip, hlsHost, names, runPlain, tempDir } from "../../dev/testing/plain_command.ts";

Deno.test("redirect: to a private host → policy_denied (aria2c follows)", async () => {
  await using canary = startCanary();
  await using fixture = await startFetchFixture(() =>
    new Response(null, { status: 302, headers: { location: `${canary.url}/x` } })
  );
  await using dir = await tempDir();
  await runPlain("aria2c", ["-q", `${fixture.url}/a.mp4`], { cwd: dir.path });
  assert.ok(canary.hits() > 0);
  const before = canary.hits();
  await assert.rejects(fixture.fetch("/a.mp4"), { code: "policy_denied" });
  assert.equal(canary.hits(), before);
});

Deno.test("redirect: after the probe, to a private host → policy_denied", async () => {
  await using canary = startCanary();
  await using fixture = await startFetchFixture((_, request) =>
    request.headers.get("range") === "bytes=0-16383"
      ? ranged(request, clip.mp4)
      : new Response(null, { status: 302, headers: { location: `${canary.url}/x` } })
  );
  await assert.rejects(fixture.fetch("/a.mp4"), { code: "policy_denied" });
  assert.equal(canary.hits(), 0);
});

Deno.test("file: a page, a zip, nothing as .mp4 → refused (aria2c succeeds)", async () => {
  await using dir = await tempDir();
  const bodies: Record<string, [BodyInit, string]> = {
    "/html.mp4": ["<!doctype html><title>Just a moment</title>", "unsupported"],
    "/zip.mp4": [new Uint8Array([0x50, 0x4b, 3, 4, ...new Uint8Array(2000)]), "unsupported"],
    "/empty.mp4": [new Uint8Array(0), "source_expired"],
  };
  await using fixture = await startFetchFixture((path) =>
    new Response(bodies[path]![0], { headers: { "content-type": "video/mp4" } })
  );
  assert.equal((await runPlain("aria2c", ["-q", `${fixture.url}/html.mp4`], { cwd: dir.path })).code, 0);
  for (const [path, [, code]] of Object.entries(bodies)) await assert.rejects(fixture.fetch(path), { code });
});

Deno.test("file: an MP4 name without MP4 content, a truncated MP4 → unsupported", async () => {
  const fake = new Uint8Array(300_000);
  fake.set([0, 0, 0, 24, 0x66, 0x74, 0x79, 0x70, 0x69, 0x73, 0x6f, 0x6d]);
  const cut = clip.mp4.slice(0, clip.mp4.length - 100_000);
  await using fixture = await startFetchFixture((path, request) => ranged(request, path === "/fake.mp4" ? fake : cut));
  await assert.rejects(fixture.fetch("/fake.mp4"), { code: "unsupported" });
  await assert.rejects(fixture.fetch("/cut.mp4"), { code: "unsupported" });
});

Deno.test("aria2c: a newline in a URL → refused before aria2c (names a file)", async () => {
  await using dir = await tempDir();
  await using fixture = await startFetchFixture((_, request) => ranged(request, clip.mp4));
  const evil = `${fixture.url}/a.mp4\n  out=chosen-by-a-stranger`;
  await Deno.writeTextFile(`${dir.path}/list`, `${evil}\n`);
  await runPlain("aria2c", ["-q", "-i", "list"], { cwd: dir.path });
  assert.ok(await Deno.stat(`${dir.path}/chosen-by-a-stranger`));
  await assert.rejects(fixture.fetch(evil), { code: "invalid_input" });
});

Deno.test("aria2c: a newline in a referer → header dropped (runs a program)", async () => {
  await using dir = await tempDir();
  const program = `${dir.path}/program`;
  await Deno.writeTextFile(program, `#!/bin/sh\ntouch ${dir.path}/ran\n`, { mode: 0o755 });
  const referer = `http://a.test/\non-download-complete=${program}`;
  const ran = () => Deno.stat(`${dir.path}/ran`).then(() => true, () => false);
  const seen: (string | null)[] = [];
  await using fixture = await startFetchFixture((_, request) => {
    seen.push(request.headers.get("referer"));
    return ranged(request, clip.mp4);
  });
  await runPlain("aria2c", ["-q", `--referer=${referer}`, `${fixture.url}/a.mp4`], { cwd: dir.path });
  assert.equal(await ran(), true, "text from outside ran a program");
  await Deno.remove(`${dir.path}/ran`);
  seen.length = 0;
  await fixture.fetch("/a.mp4", { headers: { referer, "x-own": "dropped" } });
  assert.equal(await ran(), false);
  assert.deepEqual(new Set(seen), new Set([null]));
});

Deno.test("aria2c: a torrent content type → refused (joins the torrent)", async () => {
  await using canary = startCanary();
  const info = `d6:lengthi16384e4:name5:m.bin12:piece lengthi16384e6:pieces20:${"x".repeat(20)}e`;
  const announce = `${canary.url}/announce`;
  const torrent = `d8:announce${announce.length}:${announce}4:info${info}e`;
  const host: Host = (_, request) =>
    request.headers.get("range") === "bytes=0-16383"
      ? ranged(request, clip.mp4)
      : new Response(torrent, { headers: { "content-type": "application/x-bittorrent" } });
  await using fixture = await startFetchFixture(host);
  await using dir = await tempDir();
  await runPlain("aria2c", ["-q", "--enable-dht=false", `${fixture.url}/a.mp4`], { cwd: dir.path, seconds: 4 });
  assert.ok(canary.hits() > 0, "the plain command sent a request to the tracker");
  const before = canary.hits();
  await assert.rejects(fixture.fetch("/a.mp4"));
  assert.equal(canary.hits(), before);
});

Deno.test("aria2c: another file under the same name → starts over (mixes both)", async () => {
  await using dir = await tempDir();
  let version = 1;
  await using fixture = await startFetchFixture((_, request) =>
    ranged(request, version === 1 ? clip.mp4 : clip.otherMp4, { etag: `"v${version}"` })
  );
  const half = Math.floor(clip.mp4.length / 2 / 16384) * 16384; // aria2 resumes at whole pieces
  const sameBytes = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, i) => byte === b[i]);
  await Deno.writeFile(`${dir.path}/a.mp4`, clip.mp4.subarray(0, half)); // left by an interrupted download
  version = 2;
  assert.equal((await runPlain("aria2c", ["-q", "-c", `${fixture.url}/a.mp4`], { cwd: dir.path })).code, 0);
  const glued = await Deno.readFile(`${dir.path}/a.mp4`);
  assert.ok(sameBytes(glued.subarray(0, half), clip.mp4.subarray(0, half)), "the head of one");
  assert.ok(sameBytes(glued.subarray(half), clip.otherMp4.subarray(half)), "the tail of the other");
  const id = crypto.randomUUID();
  await Deno.mkdir(`${fixture.dir}/job-${id}`);
  await Deno.writeFile(`${fixture.dir}/job-${id}/media.bin`, clip.mp4.subarray(0, half));
  const result = await fixture.fetch("/a.mp4", { id });
  await using whole = await startFetchFixture((_, request) => ranged(request, clip.otherMp4));
  assert.equal(result.final.sha256, (await whole.fetch("/a.mp4")).final.sha256);
});

Deno.test("aria2c: a metalink content type → not followed (fetches its files)", async () => {
  await using canary = startCanary();
  const metalink =
    `<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="m.bin"><url>${canary.url}/x</url></file></metalink>`;
  const host: Host = (_, request) =>
    request.headers.get("range") === "bytes=0-16383"
      ? ranged(request, clip.mp4)
      : new Response(metalink, { headers: { "content-type": "application/metalink4+xml" } });
  await using fixture = await startFetchFixture(host);
  await using dir = await tempDir();
  await runPlain("aria2c", ["-q", `${fixture.url}/a.mp4`], { cwd: dir.path });
  assert.ok(canary.hits() > 0, "the plain command sent a request");
  const before = canary.hits();
  await assert.rejects(fixture.fetch("/a.mp4"));
  assert.equal(canary.hits(), before);
});

Deno.test("quota: an endless body, a wrong Content-Length → too_large", async () => {
  const endless = () =>
    new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65536).fill(0x47)) }));
  await using fixture = await startFetchFixture((path, request) => {
    if (request.headers.get("range") === "bytes=0-16383") return ranged(request, clip.mp4);
    return path === "/a.mp4" ? endless() : hlsHost(() => playlistOf(names))(path, request);
  });
  await assert.rejects(fixture.fetch("/a.mp4", { maxBytes: 20_000_000 }), { code: "too_large" });
  await using big = await startFetchFixture((_, request) => ranged(request, clip.mp4));
  await assert.rejects(big.fetch("/a.mp4", { maxBytes: 1_000_000 }), { code: "too_large" });
});

Deno.test("disk: no space → disk_full before the first byte", async () => {
  await using fixture = await startFetchFixture((_, request) => ranged(request, clip.mp4));
  await assert.rejects(fixture.fetch("/a.mp4", { freeBytes: 260 * 1024 * 1024 }), { code: "disk_full" });
  assert.equal(fixture.asked.length, 0);
});

Deno.test("disk: space for the first bytes only → disk_full after the probe", async () => {
  await using fixture = await startFetchFixture((_, request) => {
    const response = ranged(request, clip.mp4);
    response.headers.set("content-range", "bytes 0-16383/900000000");
    return response;
  });
  const freeBytes = (256 + 100) * 1024 * 1024;
  await assert.rejects(fixture.fetch("/a.mp4", { freeBytes }), { code: "disk_full" });
  await assert.rejects(fixture.fetch("/a.mkv", { freeBytes, kind: "mkv" }), { code: "disk_full" });
  assert.equal(fixture.asked.filter((path) => path === "/a.mkv").length, 1, "of another kind than mp4, only the probe");
});

Deno.test("DNS: a private address, or one that changes → never dialled", async () => {
  await using canary = startCanary();
  const port = Number(new URL(canary.url).port);
  const answers = [["93.184.216.34"], ["127.0.0.1"], ["93.184.216.34", "10.0.0.1"]];
  const dialled: string[] = [];
  await using proxy = startForwardProxy({
    lookup: () => Promise.resolve(answers.shift() ?? ["127.0.0.1"]),
    connect: ((options: Deno.ConnectOptions) => {
      dialled.push(options.hostname!);
      return Deno.connect({ hostname: "127.0.0.1", port }); // replaces the public server
    }) as typeof Deno.connect,
  });
  const session = proxy.openSession({ policy: {}, maxBytes: 1e6 });
  const first = await fetch("http://rebind.test/x", { client: session.client });
  assert.equal(await first.text(), "secret of the private network");
  for (const name of ["http://rebind2.test/x", "http://rebind3.test/x", "http://rebind4.test/x"]) {
    const response = await fetch(name, { client: session.client });
    assert.equal(response.status, 403);
    await response.body?.cancel();
  }
  assert.deepEqual(dialled, ["93.184.216.34"], "only the checked IP address was dialled");
  assert.equal(session.refusal()?.code, "policy_denied");
  session.close();
});

Deno.test("children: environment → PATH and LC_ALL only", async () => {
  const { runChild } = await import("../process/child.ts");
  let text = "";
  await runChild("env", [], {
    signal: new AbortController().signal,
    onStdout: (piece) => text += new TextDecoder().decode(piece),
  });
  assert.deepEqual(text.trim().split("\n").map((line) => line.split("=")[0]).sort(), ["LC_ALL", "PATH"]);
});
