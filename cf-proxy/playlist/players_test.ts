// Real players through workerd: ffmpeg decodes every frame, hls.js in Chromium plays to the end.
import assert from "node:assert/strict";
import { startBrowser, type TestBrowser } from "../../dev/testing/browser.ts";
import {
  type FixtureOptions,
  media,
  type ProxyFixture,
  send,
  startProxyFixture,
} from "../../dev/testing/proxy_fixture.ts";
import { startWorker } from "../../dev/emulators/workerd/workerd.ts";

const SECONDS = 3;
const VIDEO = ["-f", "lavfi", "-i", `testsrc2=s=160x90:r=25:d=${SECONDS}`];
const tone = (hertz: number) => ["-f", "lavfi", "-i", `sine=frequency=${hertz}:duration=${SECONDS}`];
const CODECS = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"];
const HLS = ["-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod"];
const REFERER = "https://player.test/embed/1";

interface Sample {
  readonly args: readonly string[];
  /** The path that the player opens. */
  readonly entry: string;
  readonly audioTracks: number;
}

const SAMPLES: Readonly<Record<string, Sample>> = {
  "AES-128": {
    args: [
      ...VIDEO,
      ...tone(440),
      ...CODECS,
      ...HLS,
      "-hls_key_info_file",
      "key_info",
      "-hls_segment_filename",
      "seg %d.ts",
      "m.m3u8",
    ],
    entry: "m.m3u8",
    audioTracks: 1,
  },
  "fMP4": {
    args: [...VIDEO, ...tone(440), ...CODECS, ...HLS, "-hls_segment_type", "fmp4", "m.m3u8"],
    entry: "m.m3u8",
    audioTracks: 1,
  },
  "byte ranges": {
    args: [
      ...VIDEO,
      ...tone(440),
      ...CODECS,
      ...HLS,
      "-hls_segment_type",
      "fmp4",
      "-hls_flags",
      "single_file",
      "m.m3u8",
    ],
    entry: "m.m3u8",
    audioTracks: 1,
  },
  "two audio tracks": {
    args: [
      ...[...VIDEO, ...tone(440), ...tone(880), "-map", "0:v", "-map", "1:a", "-map", "2:a", ...CODECS, ...HLS],
      ...["-master_pl_name", "master.m3u8", "-var_stream_map"],
      "v:0,agroup:au a:0,agroup:au,language:ja,default:yes a:1,agroup:au,language:en",
      "%v/m.m3u8",
    ],
    entry: "master.m3u8",
    audioTracks: 2,
  },
  "MP4": {
    args: [...VIDEO, ...tone(440), ...CODECS, "-movflags", "+faststart", "m.mp4"],
    entry: "m.mp4",
    audioTracks: 1,
  },
};

for (const [name, sample] of Object.entries(SAMPLES)) {
  Deno.test(`ffmpeg: ${name} through the proxy → the frames of the file`, async () => {
    await using served = await serve(sample);
    const link = await served.link();
    const streams = ["0:v:0", ...Array.from({ length: sample.audioTracks }, (_, i) => `0:a:${i}`)];
    for (const stream of streams) {
      const direct = await frames(`${served.dir}/v/${sample.entry}`, stream);
      assert.ok(direct.length >= SECONDS * 25, `${direct.length} frames on disk`);
      assert.deepEqual(await frames(link, stream), direct, stream);
    }
  });
}

Deno.test("Chromium: every format through the proxy → plays to the last frame", async (test) => {
  await using browser = await startBrowser();
  await using web = await startWorker({ worker: "web" });
  for (const [name, sample] of Object.entries(SAMPLES)) {
    await test.step(name, async () => {
      await using served = await serve(sample);
      const { lastFrame, duration, error } = await playToEnd(browser, web.url, await served.link());
      assert.equal(error, null);
      assert.ok(Math.abs(duration - SECONDS) < 0.2, `duration ${duration}`);
      // mediaTime of the last frame shown. At 25 frames per second, the last one starts 40 ms before the end.
      assert.ok(lastFrame > SECONDS - 0.2, `last frame at ${lastFrame} of ${duration}`);
      const fromSource = served.proxy.seen.filter((one) => one.headers.get("referer") !== REFERER);
      assert.deepEqual(fromSource.map((one) => one.target), [], "every request carries the sealed header");
    });
  }
});

Deno.test("Chromium: source expires → watch page continues with the archive", async () => {
  await using browser = await startBrowser();
  await using web = await startWorker({ worker: "web" });
  await using served = await serve(SAMPLES.MP4!, (originUrl) => ({ PUBLIC_API_URL: `${originUrl}/functions/v1` }));
  const { proxy } = served;
  const bytes = await Deno.readFile(`${served.dir}/v/m.mp4`);
  const embed = "https://embed.test/e/1";
  const episode = { malId: 55825, episode: 1, provider: "animasu", server: embed };
  const live = await proxy.link("/live.mp4", { context: { episode } });
  const archived = await proxy.link("/archive.mp4");
  let dead = false;
  const { promise: played, resolve: breakOff } = Promise.withResolvers<void>();
  proxy.route("/functions/", (_request, response) => {
    const server = dead
      ? {
        provider: "720p",
        url: embed,
        url_resolved: `${proxy.url}/archive.mp4`,
        stream: archived,
        archived: true,
        kind: "mp4",
      }
      : {
        provider: "720p",
        url: embed,
        url_resolved: `${proxy.url}/live.mp4`,
        stream: live,
        archived: false,
        kind: "mp4",
      };
    const headers = { "content-type": "application/json", "access-control-allow-origin": "*" };
    send(response, 200, headers, JSON.stringify({ success: true, data: { animasu: [server] } }));
  });
  proxy.route("/archive.mp4", media(bytes, { etag: '"remuxed"' }));
  // Two thirds of the file; then the connection is lost and the URL expires.
  proxy.route("/live.mp4", (_request, response) => {
    if (dead) return send(response, 403, { "content-type": "text/plain" }, "token expired");
    response.writeHead(200, {
      "content-type": "video/mp4",
      "content-length": String(bytes.length),
      "accept-ranges": "bytes",
      etag: '"v1"',
    });
    response.write(bytes.subarray(0, Math.floor(bytes.length * 2 / 3)));
    played.then(() => {
      dead = true;
      response.destroy();
    });
  });
  const page = await browser.open(
    `${web.url}/?api=${encodeURIComponent(`${proxy.url}/functions/v1`)}&title=55825&episode=1`,
  );
  const inArchive = `decodeURIComponent(video.currentSrc).includes("/archive.mp4")`;
  const end = page.evaluate(`new Promise((resolve) => {
    const video = document.querySelector("video");
    let stoppedAt = 0, wentOnAt = null;
    video.addEventListener("timeupdate", () => ${inArchive} ? wentOnAt ??= video.currentTime : stoppedAt = video.currentTime);
    video.addEventListener("ended", () => resolve({ stoppedAt, wentOnAt, ended: video.currentTime, archive: ${inArchive} }));
  })`) as Promise<{ stoppedAt: number; wentOnAt: number; ended: number; archive: boolean }>;
  await page.evaluate(`new Promise((resolve) => {
    const video = document.querySelector("video");
    video.addEventListener("timeupdate", () => video.currentTime > 0.5 && resolve());
  })`);
  breakOff();
  const seen = await end;
  assert.ok(seen.archive, "the archive's copy was playing at the end");
  assert.ok(
    seen.stoppedAt > 0.4 && seen.wentOnAt >= seen.stoppedAt - 0.3,
    `stopped at ${seen.stoppedAt}, went on at ${seen.wentOnAt}`,
  );
  assert.ok(seen.ended > SECONDS - 0.2);
  assert.ok(proxy.seen.some((one) => one.target.includes("?refresh=1")), "the Worker requested a fresh URL first");
});

Deno.test("Chromium: video and audio of one stream fail → one failover", async () => {
  await using browser = await startBrowser();
  await using web = await startWorker({ worker: "web" });
  await using proxy = await startProxyFixture();
  const headers = { "content-type": "application/json", "access-control-allow-origin": "*" };
  const server = { provider: "720p", stream: `${proxy.url}/gone.mp4`, archived: false, kind: "mp4" };
  const apiRequests = () => proxy.seen.filter((one) => one.target.startsWith("/functions/")).length;
  proxy.route("/functions/", (_request, response) => {
    send(
      response,
      200,
      headers,
      JSON.stringify({ success: true, data: { animasu: apiRequests() > 1 ? [] : [server] } }),
    );
  });
  // Never responds: the test triggers the failure.
  proxy.route("/gone.mp4", () => {});
  const api = encodeURIComponent(`${proxy.url}/functions/v1`);
  const page = await browser.open(`${web.url}/?api=${api}&title=1&episode=1`);
  await page.evaluate(`new Promise((resolve) => {
    const status = document.querySelector("#status");
    const done = () => /archive is not ready/.test(status.textContent) && setTimeout(resolve, 0);
    new MutationObserver(done).observe(status, { childList: true, characterData: true, subtree: true });
    const video = document.querySelector("video");
    const begin = () => video.onerror ? [1, 2].forEach(() => video.dispatchEvent(new Event("error"))) : setTimeout(begin, 10);
    begin();
  })`);
  await page.evaluate(`fetch(${JSON.stringify(`${proxy.url}/functions/last`)}).then(() => {})`);
  assert.deepEqual(
    proxy.seen.map(({ target }) => target.split("?")[0]).filter((one) => one!.startsWith("/functions/")),
    [
      "/functions/v1/streaming/1/1",
      "/functions/v1/streaming/1/1",
      "/functions/last",
    ],
  );
});

for (const to of ["archive", "fresh link"] as const) {
  Deno.test(`Chromium: HLS segments expire → continues with the ${to}`, async () => {
    await using browser = await startBrowser();
    await using web = await startWorker({ worker: "web" });
    await using served = await serve(SAMPLES.fMP4!, (originUrl) => ({ PUBLIC_API_URL: `${originUrl}/functions/v1` }));
    const { proxy } = served;
    const embed = "https://embed.test/e/1";
    const context = {
      headers: { referer: REFERER },
      episode: { malId: 55825, episode: 1, provider: "animasu", server: embed },
    };
    const link = (path: string) => proxy.link(path, { scopeDirectories: 1, context });
    // Without validators the Worker cannot verify the fresh segments and responds 410.
    let dead = false;
    for (const base of ["old", "new"]) {
      proxy.route(`/${base}/`, async (request, response) => {
        const name = request.target.slice(base.length + 2).split("?")[0]!;
        if (base === "old" && name === "m2.m4s") dead = true;
        if (base === "old" && dead) return send(response, 403, { "content-type": "text/plain" }, "token expired");
        send(response, 200, { "content-type": typeOf(name) }, await Deno.readFile(`${served.dir}/v/${name}`));
      });
    }
    const [live, fresh] = [await link("/old/m.m3u8"), await link("/new/m.m3u8")];
    const archived = await link("/new/m.m3u8?archive");
    proxy.route("/functions/", (_request, response) => {
      const one = { url: embed, url_resolved: `${proxy.url}/new/m.m3u8`, kind: "hls", archived: false };
      const servers = [
        { ...one, provider: "other", stream: "http://127.0.0.1:1/proxy?url=x.m3u8" },
        { ...one, provider: "720p", stream: dead ? fresh : live },
        ...(dead && to === "archive" ? [{ ...one, provider: "Archive", stream: archived, archived: true }] : []),
      ];
      const headers = { "content-type": "application/json", "access-control-allow-origin": "*" };
      send(
        response,
        200,
        headers,
        JSON.stringify({ success: true, data: { animasu: dead ? servers : servers.slice(1) } }),
      );
    });
    const page = await browser.open(
      `${web.url}/?api=${encodeURIComponent(`${proxy.url}/functions/v1`)}&title=55825&episode=1`,
    );
    const seen = await page.evaluate(`new Promise((resolve) => {
      const video = document.querySelector("video");
      const times = [];
      video.addEventListener("timeupdate", () => times.push(video.currentTime));
      video.addEventListener("ended", () => resolve({ times, ended: video.currentTime, error: document.documentElement.dataset.error,
        playing: document.querySelector("[aria-pressed=true]").textContent }));
    })`) as { times: number[]; ended: number; error: string; playing: string };
    assert.match(seen.error, /410/);
    assert.equal(seen.playing, to === "archive" ? "Archive" : "720p");
    assert.ok(seen.ended > SECONDS - 0.2, `ended at ${seen.ended}`);
    const back = Math.max(...seen.times.slice(1).map((time, i) => seen.times[i]! - time));
    assert.ok(back < 0.3, `jumped back by ${back} s: ${seen.times}`);
    const requests = (path: string) => proxy.seen.filter((one) => one.target.startsWith(path)).length;
    assert.deepEqual([requests("/old/m2.m4s"), requests("/new/m2.m4s")], [1, 1]);
  });
}

interface Served extends AsyncDisposable {
  readonly dir: string;
  readonly proxy: ProxyFixture;
  link(): Promise<string>;
}

/** A sample on a server that requires a Referer and a token, as many hosts do. */
async function serve(sample: Sample, vars?: FixtureOptions["vars"]): Promise<Served> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-sample-" });
  const proxy = await startProxyFixture(vars === undefined ? {} : { vars });
  try {
    await Deno.mkdir(`${dir}/keys`);
    await Deno.mkdir(`${dir}/v`);
    await Deno.writeFile(`${dir}/keys/k.key`, new TextEncoder().encode("0123456789abcdef"));
    await Deno.writeTextFile(`${dir}/v/key_info`, `../keys/k.key\n${dir}/keys/k.key\n`);
    await ffmpeg([...sample.args], `${dir}/v`);
    proxy.route("/files/", async (request, response) => {
      if (request.headers.get("referer") !== REFERER) {
        return send(response, 403, { "content-type": "text/plain" }, "no");
      }
      const file = dir + decodeURIComponent(request.target.split("?")[0]!.slice("/files".length));
      const bytes = await Deno.readFile(file).catch(() => null);
      if (bytes === null) return send(response, 404, { "content-type": "text/plain" }, "no");
      return media(bytes, { type: typeOf(file) })(request, response);
    });
    return {
      dir,
      proxy,
      link: () => proxy.link(`/files/v/${sample.entry}?token=a%2Fb`, { context: { headers: { referer: REFERER } } }),
      async [Symbol.asyncDispose]() {
        await proxy[Symbol.asyncDispose]();
        await Deno.remove(dir, { recursive: true });
      },
    };
  } catch (error) {
    await proxy[Symbol.asyncDispose]();
    throw error;
  }
}

function typeOf(file: string): string {
  if (file.endsWith(".m3u8")) return "application/vnd.apple.mpegurl";
  return file.endsWith(".mp4") ? "video/mp4" : "application/octet-stream";
}

/** One line per decoded frame of a stream: its time and the checksum of its pixels or samples. */
async function frames(input: string, stream: string): Promise<string[]> {
  const allow = input.startsWith("http") ? ["-protocol_whitelist", "http,tcp,crypto"] : ["-allowed_extensions", "ALL"];
  const hls = input.includes("m3u8") ? allow : [];
  const text = await ffmpeg([...hls, "-i", input, "-map", stream, "-f", "framemd5", "-"]);
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

async function ffmpeg(args: readonly string[], cwd?: string): Promise<string> {
  const command = new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", "-y", ...args],
    ...(cwd !== undefined && { cwd }),
    stdin: "null",
  });
  const { success, stdout, stderr } = await command.output();
  const problems = new TextDecoder().decode(stderr);
  assert.ok(success && problems === "", problems);
  return new TextDecoder().decode(stdout);
}

async function playToEnd(
  browser: TestBrowser,
  webUrl: string,
  link: string,
): Promise<{ lastFrame: number; duration: number; error: string | null }> {
  const page = await browser.open(`${webUrl}/?stream=${encodeURIComponent(link)}`);
  try {
    return await page.evaluate(`new Promise((resolve) => {
      const video = document.querySelector("video");
      let lastFrame = 0;
      const onFrame = (_now, { mediaTime }) => { lastFrame = mediaTime; video.requestVideoFrameCallback(onFrame); };
      video.requestVideoFrameCallback(onFrame);
      const end = (error) => resolve({ lastFrame, duration: video.duration, error });
      const failed = () => document.documentElement.dataset.error;
      video.addEventListener("ended", () => requestAnimationFrame(() => requestAnimationFrame(() => end(null))));
      video.addEventListener("error", () => end(String(video.error?.message)));
      new MutationObserver(() => failed() && end(failed())).observe(document.documentElement, { attributes: true });
      if (failed()) end(failed());
      if (video.ended) end(null);
    })`);
  } finally {
    await page.close();
  }
}
