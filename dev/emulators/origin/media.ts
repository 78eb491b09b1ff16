/**
 * Makes the origin's video once, with ffmpeg: a plain MP4 whose moov is at the end, and a multivariant HLS (AES-128) with two separate
 * audio renditions and subtitles. A second start finds `made.json` and makes nothing.
 */

/** Increase it when the recipe below changes, so that stored media are made again. */
const RECIPE_VERSION = 1;
export const MEDIA_SECONDS = 24;
const SEGMENT_SECONDS = 4;
const VARIANTS = [{ name: "240p", size: "426x240", bandwidth: 500_000 }, {
  name: "480p",
  size: "854x480",
  bandwidth: 1_600_000,
}];
const AUDIO = [{ name: "ja", label: "Japanese", hertz: 440 }, { name: "en", label: "English", hertz: 660 }];

export class MediaError extends Error {}

/** Makes what is missing in `dir`. @throws {MediaError} with ffmpeg's message. */
export async function makeMedia(dir: string): Promise<void> {
  if (await readVersion(dir) === RECIPE_VERSION) return;
  const making = `${dir}.${crypto.randomUUID()}`; // made aside and renamed, so that concurrent or interrupted starts leave nothing incomplete
  await Deno.mkdir(`${making}/hls`, { recursive: true });
  try {
    await makeMp4(`${making}/episode.mp4`);
    await makeHls(`${making}/hls`);
    await Deno.writeTextFile(`${making}/made.json`, JSON.stringify({ version: RECIPE_VERSION }));
    await Deno.writeFile(`${making}/token.key`, crypto.getRandomValues(new Uint8Array(32)));
    if (await readVersion(dir) === RECIPE_VERSION) return; // another start was faster
    await Deno.remove(dir, { recursive: true }).catch(() => {});
    await Deno.rename(making, dir);
  } finally {
    await Deno.remove(making, { recursive: true }).catch(() => {});
  }
}

async function readVersion(dir: string): Promise<number | null> {
  const text = await Deno.readTextFile(`${dir}/made.json`).catch(() => null);
  return text === null ? null : (JSON.parse(text) as { version: number }).version;
}

/** No +faststart: ffmpeg then writes moov after mdat, as many hosts serve it. */
async function makeMp4(path: string): Promise<void> {
  await runFfmpeg([
    ...videoInput("1280x720"),
    ...audioInput(523),
    ...videoCodec("2500k"),
    ...["-c:a", "aac", "-b:a", "128k", "-shortest", "-f", "mp4", `file:${path}`],
  ]);
}

async function makeHls(dir: string): Promise<void> {
  const key = crypto.getRandomValues(new Uint8Array(16));
  await Deno.writeFile(`${dir}/key.bin`, key);
  await Deno.writeTextFile(`${dir}/key.info`, `../key.bin\n${dir}/key.bin\n`);
  for (const variant of VARIANTS) {
    await Deno.mkdir(`${dir}/${variant.name}`, { recursive: true });
    const rate = `${Math.round(variant.bandwidth * 0.8 / 1000)}k`;
    await runFfmpeg([...videoInput(variant.size), ...videoCodec(rate), ...hlsOutput(dir, variant.name)]);
  }
  for (const audio of AUDIO) {
    await Deno.mkdir(`${dir}/${audio.name}`, { recursive: true });
    await runFfmpeg([...audioInput(audio.hertz), "-c:a", "aac", "-b:a", "96k", ...hlsOutput(dir, audio.name)]);
  }
  await Deno.mkdir(`${dir}/subs`, { recursive: true });
  await Deno.writeTextFile(`${dir}/subs/index.m3u8`, subtitlePlaylist());
  await Deno.writeTextFile(`${dir}/subs/en.vtt`, subtitles());
  await Deno.writeTextFile(`${dir}/master.m3u8`, masterPlaylist());
  await Deno.remove(`${dir}/key.info`);
}

function videoInput(size: string): string[] {
  return ["-f", "lavfi", "-t", String(MEDIA_SECONDS), "-i", `testsrc2=size=${size}:rate=24`];
}

function audioInput(hertz: number): string[] {
  return ["-f", "lavfi", "-t", String(MEDIA_SECONDS), "-i", `sine=frequency=${hertz}:sample_rate=48000`];
}

function videoCodec(rate: string): string[] {
  return ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-b:v", rate, "-maxrate", rate]
    .concat(["-bufsize", rate, "-g", "48", "-keyint_min", "48", "-sc_threshold", "0"]);
}

function hlsOutput(dir: string, name: string): string[] {
  return ["-f", "hls", "-hls_time", String(SEGMENT_SECONDS), "-hls_playlist_type", "vod"]
    .concat(["-hls_key_info_file", `${dir}/key.info`, "-hls_segment_filename", `${dir}/${name}/s%03d.ts`])
    .concat([`${dir}/${name}/index.m3u8`]);
}

function masterPlaylist(): string {
  const audio = AUDIO.map((a, i) =>
    `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aud",NAME="${a.label}",LANGUAGE="${a.name}",DEFAULT=${i === 0 ? "YES" : "NO"},` +
    `AUTOSELECT=YES,URI="${a.name}/index.m3u8"`
  );
  const subs = `#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="sub",NAME="English",LANGUAGE="en",URI="subs/index.m3u8"`;
  const variants = VARIANTS.map((v) =>
    `#EXT-X-STREAM-INF:BANDWIDTH=${v.bandwidth},RESOLUTION=${v.size},CODECS="avc1.42c01f,mp4a.40.2",AUDIO="aud",SUBTITLES="sub"\n` +
    `${v.name}/index.m3u8`
  );
  return ["#EXTM3U", "#EXT-X-VERSION:4", ...audio, subs, ...variants, ""].join("\n");
}

function subtitlePlaylist(): string {
  return `#EXTM3U\n#EXT-X-TARGETDURATION:${MEDIA_SECONDS}\n#EXT-X-PLAYLIST-TYPE:VOD\n` +
    `#EXTINF:${MEDIA_SECONDS},\nen.vtt\n#EXT-X-ENDLIST\n`;
}

function subtitles(): string {
  const cues = Array.from({ length: MEDIA_SECONDS / SEGMENT_SECONDS }, (_, i) => {
    const at = (second: number) => `00:00:${String(second).padStart(2, "0")}.000`;
    return `${at(i * SEGMENT_SECONDS + 1)} --> ${at(i * SEGMENT_SECONDS + 3)}\nLine ${i + 1} of the test card`;
  });
  return `WEBVTT\n\n${cues.join("\n\n")}\n`;
}

async function runFfmpeg(args: string[]): Promise<void> {
  const output = await new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", "-y", ...args],
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!output.success) throw new MediaError(`ffmpeg could not make the demo video: ${lastLine(output.stderr)}`);
}

function lastLine(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).trim().split("\n").at(-1) ?? "";
}
