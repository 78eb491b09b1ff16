/**
 * The same streams through the Worker: hls.js in Chromium plays them, and the runner archives them from the Worker's playlist.
 * Example: `await using through = await startThroughWorker(); await through.play(stream)` → { end: "ended", frames: 192, … }.
 */
import { signLink } from "../../core/link.ts";
import { startBrowser } from "../../dev/testing/browser.ts";
import type { Host } from "../../dev/testing/fetch_fixture.ts";
import { EXPIRES_AT, KEY_TEXT, KEYS } from "../../dev/testing/proxy_fixture.ts";
import { startWorker } from "../../dev/emulators/workerd/workerd.ts";
import { runStream, type StreamResult } from "./run_stream.ts";
import type { TestStream } from "./stream.ts";

export interface Played {
  /** fatal: hls.js or the video element gave up; stuck: no progress, or longer than the time limit. */
  readonly end: "ended" | "fatal" | "stuck";
  /** The player's error; empty if there is none. */
  readonly detail: string;
  /** Decoded frames. */
  readonly frames: number;
  readonly seconds: number;
}

export interface ThroughWorker extends AsyncDisposable {
  play(stream: TestStream): Promise<Played>;
  archive(stream: TestStream): Promise<StreamResult>;
}

const PLAYER_PATH = "/_player/";
const HLS_JS = new URL("../../node_modules/hls.js/dist/hls.mjs", import.meta.url);
const LIMIT_SECONDS = 40;
/** Without progress, after the retries of hls.js. */
const STUCK_SECONDS = 15;

export async function startThroughWorker(): Promise<ThroughWorker> {
  await using stack = new AsyncDisposableStack();
  const script = await Deno.readTextFile(HLS_JS);
  let host: Host = () => new Response(null, { status: 404 });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === `${PLAYER_PATH}hls.mjs`) {
      return new Response(script, { headers: { "content-type": "text/javascript" } });
    }
    if (pathname === PLAYER_PATH) {
      return new Response("<!doctype html><video muted></video>", { headers: { "content-type": "text/html" } });
    }
    return await host(pathname, request);
  });
  stack.defer(() => server.shutdown());
  const url = `http://127.0.0.1:${server.addr.port}`;
  const worker = stack.use(
    await startWorker({ vars: { STREAM_SIGNING_KEYS: KEY_TEXT }, allowedOrigins: [url] }),
  );
  const browser = stack.use(await startBrowser());
  const linkTo = ({ entry = "/v.m3u8" }: TestStream) =>
    signLink({ url: `${url}${entry}`, expiresAt: EXPIRES_AT, keys: KEYS, proxyBaseUrl: worker.url });
  const owned = stack.move();
  return {
    async play(stream) {
      host = stream.host;
      const page = await browser.open(`${url}${PLAYER_PATH}`);
      try {
        const isPlaylist = (stream.entry ?? "/v.m3u8").endsWith(".m3u8");
        return await page.evaluate(playInPage(await linkTo(stream), isPlaylist)) as Played;
      } finally {
        await page.close();
      }
    },
    async archive(stream) {
      const link = await linkTo(stream);
      host = stream.host;
      return await runStream(stream, { url: link, origin: worker.url });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Runs in the page; resolves with `Played`. */
function playInPage(link: string, isPlaylist: boolean): string {
  return `(async () => {
    const { default: Hls } = await import("${PLAYER_PATH}hls.mjs");
    const video = document.querySelector("video");
    return await new Promise((resolve) => {
      let problem = "", movedAt = performance.now();
      const started = movedAt;
      const finish = (end) => resolve({
        end, detail: problem, frames: video.getVideoPlaybackQuality().totalVideoFrames,
        seconds: Math.round(video.currentTime * 100) / 100,
      });
      video.addEventListener("ended", () => finish("ended"));
      video.addEventListener("timeupdate", () => movedAt = performance.now());
      video.addEventListener("error", () => { problem ||= video.error.message || "error " + video.error.code; finish("fatal"); });
      setInterval(() => {
        const now = performance.now();
        if (now - movedAt > ${STUCK_SECONDS * 1000} || now - started > ${LIMIT_SECONDS * 1000}) finish("stuck");
      }, 500);
      const play = () => { video.playbackRate = 4; video.play().catch(() => {}); };
      if (!${isPlaylist}) { video.src = ${JSON.stringify(link)}; return play(); }
      const hls = new Hls();
      hls.on(Hls.Events.ERROR, (_, { fatal, details, reason }) => {
        problem = details + (reason ? ": " + reason : "");
        if (fatal) finish("fatal");
      });
      hls.loadSource(${JSON.stringify(link)});
      hls.attachMedia(video);
      hls.once(Hls.Events.MANIFEST_PARSED, play);
    });
  })()`;
}
