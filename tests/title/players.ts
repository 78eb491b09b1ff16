/**
 * Plays an archive in a real Chromium: seeks, languages and cues in hls.js, Shaka, video.js, and the plain file in a video element.
 * The video shows its frame number as 12 bits, and the languages are tones. Example: `await playIn("hls.js", { dir, browser })`.
 */
import { fileURLToPath } from "node:url";
import type { TestBrowser } from "../../dev/testing/browser.ts";
import { ffmpeg } from "./clips.ts";
import { type RangeServer, startRangeServer } from "./range_server.ts";

export const PLAYERS = ["hls.js", "shaka", "video.js", "plain"] as const;
export type PlayerName = typeof PLAYERS[number];

export const CLIP = { rate: 24, seconds: 40, japanese: 440, english: 880 };
const SEEKS = [30.3, 12.7, 5, 38.5];
/** The cue at 31 s. */
const CUE = { at: 31.2, text: "at thirty" };

interface Seek {
  readonly to: number;
  readonly mediaTime: number | null;
  readonly frame: number;
}

export interface Played {
  readonly player: PlayerName;
  readonly seeks: readonly Seek[];
  readonly audio: readonly string[];
  readonly text: readonly string[];
  readonly heard: readonly number[];
  readonly cues: readonly string[];
  readonly duration: number;
  readonly bufferedFrom: number;
  readonly errors: readonly unknown[];
  readonly requests: number;
  readonly bytes: number;
}

/** In `dir`: ep.mp4 and its texts. */
export async function playIn(
  player: PlayerName,
  { dir, browser, readText = true }: { dir: string; browser: TestBrowser; readText?: boolean },
): Promise<Played> {
  const script = player === "plain" ? null : scriptOf(player);
  const page = fileURLToPath(new URL("player_page.html", import.meta.url));
  await using server: RangeServer = startRangeServer(dir, {
    "page.html": page,
    ...(script ? { "player.js": script } : {}),
  });
  const tab = await browser.open(`${server.url}/page.html?player=${player}`);
  try {
    const call = async <T = void>(name: string, ...args: readonly unknown[]): Promise<T> => {
      const expression = `ready.then((api) => api[${JSON.stringify(name)}](...${JSON.stringify(args)}))`;
      return await tab.evaluate<T>(expression);
    };
    const seeks: Seek[] = [];
    for (const to of SEEKS) seeks.push({ to, ...await call<Omit<Seek, "to">>("seek", to) });
    const [audio, text] = [await call<string[]>("audio"), await call<string[]>("text")];
    const heard: number[] = [];
    let cues: string[] = [];
    if (player !== "plain") {
      await call("seek", 1);
      await call("play");
      heard.push(await call<number>("hear", CLIP.japanese));
      await call("setAudio", "en");
      heard.push(await call<number>("hear", CLIP.english));
      await call("pause");
      if (readText) {
        await call("setText", "en");
        await call("seek", CUE.at);
        await call("play");
        await call("waitForCue", CUE.text);
        await call("pause");
        cues = await call<string[]>("cues");
      }
    }
    const duration = await call<number>("duration");
    const buffered = await call<[number, number][]>("buffered");
    const errors = await call<unknown[]>("errors");
    const { requests, bytes } = server.seen;
    return {
      player,
      seeks,
      audio,
      text,
      heard,
      cues,
      duration,
      bufferedFrom: buffered[0]?.[0] ?? 0,
      errors,
      requests,
      bytes,
    };
  } finally {
    await tab.close();
  }
}

function scriptOf(player: Exclude<PlayerName, "plain">): string {
  const names = { "hls.js": "hls.js", shaka: "shaka-player/compiled", "video.js": "video.js" };
  const found = fileURLToPath(import.meta.resolve(names[player]));
  if (player === "hls.js") return found.replace(/dist\/.*$/, "dist/hls.js");
  return player === "video.js" ? found.replace(/dist\/.*$/, "dist/video.min.js") : found;
}

/** Frame numbers, two tones, and subtitles. */
export async function makePlayerClip(path: string): Promise<void> {
  const bits = Array.from(
    { length: 12 },
    (_, bit) => `drawbox=x=${16 * bit}:y=0:w=16:h=96:color=white:t=fill:enable='gt(bitand(n,${2 ** bit}),0)'`,
  );
  const srt = `${path}.srt`;
  await Deno.writeTextFile(
    srt,
    "1\n00:00:02,000 --> 00:00:04,000\nAt two\n\n2\n00:00:31,000 --> 00:00:34,000\n<i>Cue</i> at thirty\n",
  );
  const tone = (hertz: number) => ["-f", "lavfi", "-i", `sine=${hertz}:d=${CLIP.seconds}`];
  await ffmpeg([
    ...["-f", "lavfi", "-i", `color=black:s=192x96:r=${CLIP.rate}:d=${CLIP.seconds}`],
    ...[...tone(CLIP.japanese), ...tone(CLIP.english), "-i", srt, "-map", "0", "-map", "1", "-map", "2", "-map", "3"],
    ...[
      "-vf",
      bits.join(","),
      "-c:v",
      "libx264",
      "-preset",
      "ultrafast",
      "-pix_fmt",
      "yuv420p",
      "-g",
      "48",
      "-bf",
      "2",
    ],
    ...["-c:a", "aac", "-b:a", "64k", "-c:s", "mov_text"],
    ...["-metadata:s:a:0", "language=jpn", "-metadata:s:a:1", "language=eng", "-metadata:s:s:0", "language=eng", path],
  ]);
}

/** What is wrong, or nothing. */
export function playedProblems({ player, seeks, audio, text, heard, cues, bufferedFrom, errors }: Played): string[] {
  const problems = errors.map((error) => `error ${error}`);
  for (const { to, mediaTime, frame } of seeks) {
    const expected = Math.floor(to * CLIP.rate + 0.01);
    if (Math.abs(frame - expected) > 1) problems.push(`seek to ${to}: frame ${frame}, not ${expected}`);
    if (mediaTime !== null && Math.abs(mediaTime * CLIP.rate - frame) > 0.5) {
      problems.push(`seek to ${to}: frame ${frame} at ${mediaTime}`);
    }
  }
  if (player === "plain") return problems;
  if (audio.join() !== "ja,en") problems.push(`languages ${audio}`);
  if (text.join() !== "en") problems.push(`subtitles ${text}`);
  if (heard.join() !== `${CLIP.japanese},${CLIP.english}`) problems.push(`heard ${heard}`);
  if (cues.length > 0 && !cues.some((cue) => cue.includes(CUE.text))) problems.push(`cues ${cues}`);
  if (bufferedFrom > 40) problems.push(`buffered from ${bufferedFrom}`);
  return problems;
}
