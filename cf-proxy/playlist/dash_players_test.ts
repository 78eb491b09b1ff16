// MPDs through workerd in real players: ffmpeg decodes every frame, Shaka Player in Chromium plays to the end.
import assert from "node:assert/strict";
import { startBrowser, type TestBrowser } from "../../dev/testing/browser.ts";
import { type DashClip, dashClip, decoded, decodedPieces, pieces } from "../../dev/testing/dash_clip.ts";
import { media, type ProxyFixture, send, startProxyFixture, text } from "../../dev/testing/proxy_fixture.ts";

const REFERER = "https://player.test/embed/1";
const SHAKA = await Deno.readTextFile(new URL(import.meta.resolve("shaka-player/dash")));

interface Sample {
  readonly clip: DashClip;
  readonly mpd: string;
}

const clip = await dashClip();
const single = await dashClip(["-single_file", "1", "-global_sidx", "1"]);
const ownBases = (mpd: string) =>
  mpd.replaceAll(/<Representation id="(\d)"[^>]*>/g, (tag, id) => `${tag}<BaseURL>base${id}/</BaseURL>`);

const SAMPLES: Readonly<Record<string, Sample>> = {
  "SegmentTimeline": { clip, mpd: clip.mpd },
  "shared template, a BaseURL each": {
    clip,
    mpd: ownBases(clip.mpd).replaceAll(/<SegmentTemplate timescale="12800"[^]*?<\/SegmentTemplate>/g, "")
      .replace(
        /<AdaptationSet id="0"[^>]*>/,
        '$&<SegmentTemplate timescale="1000" duration="2000" startNumber="1" initialization="init-stream$RepresentationID$.m4s" media="chunk-stream$RepresentationID$-$Number%05d$.m4s"/>',
      ),
  },
  "SegmentList of byte ranges": { clip: single, mpd: single.mpd },
  "SegmentBase": {
    clip: single,
    mpd: single.mpd.replaceAll(/<BaseURL>(.*?)<\/BaseURL>\s*<SegmentList[^]*?<\/SegmentList>/g, (_, name) => {
      const bytes = single.files.get(name)!;
      const view = new DataView(bytes.buffer);
      let at = 0;
      while (view.getUint32(at + 4) !== 0x73696478) at += view.getUint32(at);
      const range = `${at}-${at + view.getUint32(at) - 1}`;
      return `<BaseURL>${name}</BaseURL><SegmentBase indexRange="${range}"><Initialization range="0-${
        at - 1
      }"/></SegmentBase>`;
    }),
  },
};

/** A host that requires a Referer and sets a cookie with the MPD, without which it refuses segments. */
async function serve({ clip, mpd }: Sample): Promise<ProxyFixture> {
  const proxy = await startProxyFixture();
  proxy.route("/page", text("<!doctype html><video muted></video>", "text/html"));
  proxy.route("/v/", (request, response) => {
    const name = request.target.split("?")[0]!.split("/").at(-1)!;
    if (request.headers.get("referer") !== REFERER) return send(response, 403, {}, "no");
    if (name === "m.mpd") {
      return send(response, 200, { "content-type": "application/dash+xml", "set-cookie": "session=1" }, mpd);
    }
    const bytes = clip.files.get(name);
    if (bytes === undefined || request.headers.get("cookie") !== "session=1") return send(response, 404, {}, "no");
    return media(bytes, { type: "video/mp4" })(request, response);
  });
  return proxy;
}

function linkTo(proxy: ProxyFixture): Promise<string> {
  return proxy.link("/v/m.mpd?token=a%2Fb", { scopeDirectories: 1, context: { headers: { referer: REFERER } } });
}

// ffmpeg's own demuxer does not read the byte ranges of a file.
for (const name of ["SegmentTimeline", "shared template, a BaseURL each"]) {
  Deno.test(`ffmpeg: MPD with ${name} through the proxy → every frame`, async () => {
    await using proxy = await serve(SAMPLES[name]!);
    const link = await linkTo(proxy);
    for (const [stream, index] of [["v:0", 0], ["v:1", 1], ["a:1", 3]] as const) {
      const expected = await decodedPieces(pieces(clip, index), `${stream[0]}:0`);
      assert.deepEqual(await decoded(link, stream), expected, stream);
    }
  });
}

Deno.test("Chromium: Shaka Player, every MPD through the proxy → plays to the end", async (test) => {
  await using browser = await startBrowser();
  for (const [name, sample] of Object.entries(SAMPLES)) {
    await test.step(name, async () => {
      await using proxy = await serve(sample);
      const { ended, audio, error } = await playToEnd(browser, `${proxy.url}/page`, await linkTo(proxy));
      assert.equal(error, null);
      assert.ok(Math.abs(ended - 8) < 0.2, `ended at ${ended}`);
      assert.deepEqual(audio.sort(), ["en", "ja"]);
      const direct = proxy.seen.filter(({ target, headers }) =>
        target !== "/page" && headers.get("referer") !== REFERER
      );
      assert.deepEqual(direct.map(({ target }) => target).filter((one) => one !== "/favicon.ico"), []);
    });
  }
});

async function playToEnd(
  browser: TestBrowser,
  pageUrl: string,
  link: string,
): Promise<{ ended: number; audio: string[]; error: string | null }> {
  const page = await browser.open(pageUrl);
  try {
    await page.evaluate(SHAKA);
    return await page.evaluate(`(async () => {
      const video = document.querySelector("video");
      const player = new shaka.Player();
      await player.attach(video);
      const end = new Promise((resolve) => {
        video.addEventListener("ended", () => resolve(null));
        player.addEventListener("error", ({ detail }) => resolve("error " + detail.code + " " + JSON.stringify(detail.data)));
      });
      try {
        await player.load(${JSON.stringify(link)});
      } catch (error) {
        return { ended: 0, audio: [], error: "error " + error.code + " " + JSON.stringify(error.data) };
      }
      video.playbackRate = 2;
      await video.play();
      const error = await end;
      return { ended: video.currentTime, audio: [...new Set(player.getAudioTracks().map((track) => track.language))], error };
    })()`);
  } finally {
    await page.close();
  }
}
