// The watch page in Chromium: a viewer of a live stream that fails continues with the archive.
import assert from "node:assert/strict";
import { startBrowser } from "../../dev/testing/browser.ts";
import { LARGE_KEY, makeEpisodeStreams, SMALL_KEY } from "../../dev/testing/episode_streams.ts";
import { media, send, startProxyFixture } from "../../dev/testing/proxy_fixture.ts";
import { startWorker } from "../../dev/emulators/workerd/workerd.ts";

const SECONDS = 7;
const DIRECTORY = "/archive/anime-1/1/ep1/";
/** The live source serves the first three seconds. */
const LAST_SERVED = 3;
const CORS = { "access-control-allow-origin": "*" };

interface Seen {
  readonly menus: Readonly<Record<string, string>>;
  readonly height: number;
  readonly cues: readonly string[];
  readonly playing: string;
  readonly liveUntil: number;
  readonly archiveFrom: number;
  readonly error: string;
}

Deno.test("handover: live stream dies or stands still → archive, same choices", async (t) => {
  const { live, archive } = await makeEpisodeStreams(SECONDS);
  await using browser = await startBrowser();
  await using web = await startWorker({ worker: "web" });
  for (const [way, error] of [["dies", /fragLoadError 403/], ["stands still", /stalled/]] as const) {
    await t.step(way, async () => {
      await using proxy = await startProxyFixture({
        vars: (originUrl) => ({ STORAGE_FOLDER_URL: `${originUrl}/archive`, STORAGE_FOLDER_TOKEN: "folder-token" }),
      });
      const dead = Promise.withResolvers<void>();
      let isReady = false;
      proxy.route("/live/", async ({ target }, response) => {
        const name = target.slice("/live/".length);
        if (Number(/-(\d+)\.mp4$/.exec(name)?.[1] ?? 0) > LAST_SERVED) {
          await dead.promise;
          return send(response, 403, { "content-type": "text/plain" }, "expired");
        }
        const type = name.endsWith(".m3u8") ? "application/vnd.apple.mpegurl" : "video/mp4";
        send(response, 200, { "content-type": name.endsWith(".vtt") ? "text/vtt" : type }, live.get(name)!);
      });
      for (const [name, bytes] of archive) proxy.route(DIRECTORY + name, media(bytes, { etag: `"${name}"` }));
      const files = [LARGE_KEY, SMALL_KEY];
      const master = await proxy.link(`${DIRECTORY}${LARGE_KEY}.m3u8`, {
        scopeDirectories: 4,
        context: { archive: true, files },
      });
      const stream = await proxy.link("/live/master.m3u8", { scopeDirectories: 1 });
      proxy.route("/functions/", (_request, response) => {
        const server = { provider: "Live", stream, kind: "hls", archived: false, hls: null };
        const providers = { own: { state: "ok", master: isReady ? master : null } };
        const body = JSON.stringify({ success: true, data: { own: [server] }, providers });
        send(response, 200, { "content-type": "application/json", ...CORS }, body);
      });
      const api = encodeURIComponent(`${proxy.url}/functions/v1`);
      const page = await browser.open(`${web.url}/?api=${api}&title=1&episode=1`);
      await page.evaluate(RECORD);
      await page.evaluate(CHOOSE);
      await page.evaluate(AT_SECOND_TWO);
      isReady = true;
      if (way === "dies") dead.resolve();
      const seen = await page.evaluate(TO_THE_END) as Seen;
      assert.match(seen.error, error);
      assert.equal(seen.playing, "own · every quality");
      assert.deepEqual(seen.menus, { Audio: "English", Subtitles: "English", Quality: "180p" });
      assert.equal(seen.height, 180);
      assert.ok(seen.cues.includes("second 5"), seen.cues.join());
      assert.ok(Math.abs(seen.archiveFrom - seen.liveUntil) < 0.5, `${seen.liveUntil} → ${seen.archiveFrom}`);
      const requested = new Set(proxy.seen.map(({ target }) => target));
      assert.ok(requested.has(`${DIRECTORY}${LARGE_KEY}.a1.m3u8`) && requested.has(`${DIRECTORY}${LARGE_KEY}.mp4`));
      assert.equal(requested.has(`${DIRECTORY}${SMALL_KEY}.mp4`), false, "the same quality from the start");
      dead.resolve();
      await page.close();
    });
  }
});

Deno.test("watch page: plain file → subtitles of another origin are shown", async () => {
  const { live, archive } = await makeEpisodeStreams(3);
  await using browser = await startBrowser();
  await using web = await startWorker({ worker: "web" });
  await using proxy = await startProxyFixture();
  const parts = ["v0-0.mp4", "v0-1.mp4", "v0-2.mp4", "v0-3.mp4"].map((name) => live.get(name)!);
  proxy.route("/plain.mp4", media(new Uint8Array(parts.flatMap((part) => [...part]))));
  // Many hosts send text/plain.
  const subtitles = media(archive.get(`${LARGE_KEY}.s0.vtt`)!, { type: "text/plain" });
  proxy.route("/en.vtt", subtitles);
  const stream = await proxy.link("/plain.mp4");
  const url = await proxy.link("/en.vtt");
  proxy.route("/functions/", (_request, response) => {
    const server = { provider: "Plain", stream, kind: "mp4", subtitles: [{ url, language: "en", label: "English" }] };
    const body = JSON.stringify({ success: true, data: { own: [server] } });
    send(response, 200, { "content-type": "application/json", ...CORS }, body);
  });
  const page = await browser.open(
    `${web.url}/?api=${encodeURIComponent(`${proxy.url}/functions/v1`)}&title=1&episode=1`,
  );
  assert.equal(
    await page.evaluate(`new Promise((resolve) => {
    const choose = () => {
      const select = document.querySelector("#menus select");
      if (select === null) return setTimeout(choose, 50);
      select.selectedIndex = 1;
      select.dispatchEvent(new Event("change"));
      const [track] = document.querySelector("video").textTracks;
      document.querySelector("video").loop = true;
      track.addEventListener("cuechange", () => track.activeCues[0]?.text === "second 1" && resolve(track.label));
    };
    choose();
  })`),
    "English",
  );
});

/** English, English subtitles and the larger quality, once the stream has all of its menus. */
const CHOOSE = `new Promise((resolve) => {
  const chosen = { Audio: "English", Subtitles: "English", Quality: "180p" };
  const left = new Set(Object.keys(chosen));
  const look = () => {
    for (const label of document.querySelectorAll("#menus label")) {
      const name = label.firstChild.textContent;
      const select = label.querySelector("select");
      const index = [...select.options].findIndex((option) => option.textContent === chosen[name]);
      if (index === -1 || !left.delete(name)) continue;
      select.selectedIndex = index;
      select.dispatchEvent(new Event("change"));
    }
    left.size === 0 ? resolve() : setTimeout(look, 50);
  };
  look();
})`;

const AT_SECOND_TWO = `new Promise((resolve) => {
  const video = document.querySelector("video");
  const wait = () => video.currentTime >= 2 && video.videoHeight === 180 ? resolve() : setTimeout(wait, 50);
  wait();
})`;

const RECORD = `{
  const video = document.querySelector("video");
  globalThis.seen = { cues: new Set(), liveUntil: 0, archiveFrom: null };
  video.addEventListener("timeupdate", () => {
    if (document.querySelector("[aria-pressed=true]").textContent === "Live") seen.liveUntil = video.currentTime;
    else if (video.readyState >= 3) seen.archiveFrom ??= video.currentTime;
    for (const track of video.textTracks) {
      if (track.mode === "showing") for (const cue of track.activeCues ?? []) seen.cues.add(cue.text);
    }
  });
}`;

const TO_THE_END = `new Promise((resolve) => {
  const video = document.querySelector("video");
  const selected = (label) => [label.firstChild.textContent, label.querySelector("select").selectedOptions[0].textContent];
  video.addEventListener("ended", () => resolve({
    ...seen,
    cues: [...seen.cues],
    menus: Object.fromEntries([...document.querySelectorAll("#menus label")].map(selected)),
    height: video.videoHeight,
    playing: document.querySelector("[aria-pressed=true]").textContent,
    error: document.documentElement.dataset.error,
  }));
})`;
