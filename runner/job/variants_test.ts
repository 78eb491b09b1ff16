/** Which variant is downloaded, end to end: the archive's size, and the report. */
import assert from "node:assert/strict";
import { playlistOf } from "../../dev/emulators/origin/clip.ts";
import { assertWhole, clip, ffprobe, names } from "../../dev/testing/clip_host.ts";
import { type Host, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";

const AVC = 'CODECS="avc1.42c01e,mp4a.40.2"';

/** Serves the clip (320x180, with audio) below /wanted and its video without audio below /other. */
function host(resources: Readonly<Record<string, string | number>>): Host {
  return (path) => {
    const resource = resources[path];
    if (typeof resource === "number") return new Response(null, { status: resource });
    if (resource !== undefined) return new Response(resource);
    const [, directory, name = ""] = /^\/(wanted|other)\/(.+)$/.exec(path) ?? [];
    if (name === "v.m3u8") return new Response(playlistOf(names.map((segment) => segment.slice(1))));
    const segments = directory === "wanted" ? clip.ts : clip.videoTs;
    const bytes = segments[names.indexOf(`/${name}`)];
    return bytes === undefined ? new Response(null, { status: 404 }) : new Response(bytes);
  };
}

function master(...lines: readonly string[]): string {
  return ["#EXTM3U", ...lines, ""].join("\n");
}

const CHOICES: Readonly<Record<string, readonly string[]>> = {
  "1920x1088 before 1280x720, for 1080p": [
    ...[`#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1280x720,${AVC}`, "/other/v.m3u8"],
    ...[`#EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=1920x1088,${AVC}`, "/wanted/v.m3u8"],
  ],
  "portrait 1080x1920 before 720x1280": [
    ...[`#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=720x1280,${AVC}`, "/other/v.m3u8"],
    ...[`#EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=1080x1920,${AVC}`, "/wanted/v.m3u8"],
  ],
  "AVC before HEVC": [
    ...['#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1920x1080,CODECS="hvc1.1.6.L93.B0,mp4a.40.2"', "/other/v.m3u8"],
    ...[`#EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=1920x1080,${AVC}`, "/wanted/v.m3u8"],
  ],
  "AAC before AC-3": [
    ...['#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1920x1080,CODECS="avc1.42c01e,ac-3"', "/other/v.m3u8"],
    ...[`#EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=1920x1080,${AVC}`, "/wanted/v.m3u8"],
  ],
  "a redundant copy after one that is missing": [
    ...[`#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1920x1080,${AVC}`, "/missing.m3u8"],
    ...[`#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1920x1080,${AVC}`, "/wanted/v.m3u8"],
    ...[`#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=1280x720,${AVC}`, "/other/v.m3u8"],
  ],
};

for (const [title, lines] of Object.entries(CHOICES)) {
  Deno.test(`variants: ${title} → archived and reported`, async () => {
    await using fixture = await startFetchFixture(host({ "/m.m3u8": master(...lines), "/missing.m3u8": 404 }));
    const result = await fixture.fetch("/m.m3u8", { resolution: "1080p" });
    await assertWhole(result);
    const { media } = result;
    assert.deepEqual(media.tracks.map(({ type, codec }) => [type, codec]), [["video", "h264"], ["audio", "aac"]]);
    assert.deepEqual([media.width, media.height], [320, 180], "of the file, not of the playlist");
    assert.ok(media.variant !== null && media.variant.codecs === "avc1.42c01e,mp4a.40.2");
    assert.match(media.variant.reason, /^matches 1080p/);
    assert.deepEqual(media.left_out, []);
  });
}

Deno.test("variants: playlists and segments that are missing → archived, reported", async () => {
  const list = playlistOf(names.map((name) => `/wanted${name}`)).replace(
    "#EXT-X-ENDLIST",
    "#EXTINF:0,\n/empty.ts\n#EXT-X-ENDLIST",
  );
  const text = master(
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="Bahasa",LANGUAGE="id",URI="/id.m3u8"',
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",URI="/en.m3u8"',
    `#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=320x180,${AVC},SUBTITLES="s"`,
    "/v.m3u8",
  );
  const english = playlistOf(["/1.vtt", "/2.vtt"]);
  await using fixture = await startFetchFixture(
    host({
      ...{ "/m.m3u8": text, "/v.m3u8": list, "/id.m3u8": 404, "/empty.ts": "", "/en.m3u8": english, "/2.vtt": 404 },
      "/1.vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n",
    }),
  );
  const result = await fixture.fetch("/m.m3u8");
  await assertWhole(result);
  assert.deepEqual(result.media.left_out.map(({ kind, code }) => [kind, code]), [
    ["subtitles", "not_found"],
    ["segment", "empty"],
    ["subtitles", "not_found"],
  ]);
  assert.deepEqual(result.media.tracks.map(({ type }) => type), ["video", "audio", "subtitles"]);
});

for (const [what, back] of [["the same variant", true], ["another variant of the same length", false]] as const) {
  Deno.test(`variants: URLs expire, then only ${what} → ${back ? "complete" : "refused"}`, async () => {
    let token = 1;
    const served: string[] = [];
    await using fixture = await startFetchFixture((path) => {
      if (path === "/embed") {
        return new Response(`<script>setup({ file: "${fixture.url}/t${token}/m.m3u8" })</script>`, {
          headers: { "content-type": "text/html" },
        });
      }
      const [, given, name = ""] = /^\/t(\d+)\/(.+)$/.exec(path) ?? [];
      if (Number(given) !== token) return new Response(null, { status: 403 });
      if (name === "m.m3u8") {
        return new Response(master(
          ...[`#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=640x360,${AVC}`, token === 1 || back ? "hd.m3u8" : "gone.m3u8"],
          ...[`#EXT-X-STREAM-INF:BANDWIDTH=5,RESOLUTION=320x180,${AVC}`, "sd.m3u8"],
        ));
      }
      if (name === "gone.m3u8") return new Response(null, { status: 404 });
      if (name.endsWith(".m3u8")) return new Response(playlistOf(names.map((segment) => segment.slice(1))));
      if (token === 1 && served.length === 3) {
        token = 2;
        return new Response(null, { status: 403 });
      }
      served.push(name);
      return new Response(clip.ts[names.indexOf(`/${name}`)]!);
    });
    const running = fixture.fetch(`${fixture.url}/t1/m.m3u8`, { embedUrl: `${fixture.url}/embed` });
    if (!back) return await assert.rejects(running, { code: "source_expired" });
    const result = await running;
    await assertWhole(result);
    assert.equal(result.media.variant!.height, 360);
    const { streams } = await ffprobe(result.final.path, "stream=width,codec_type");
    assert.equal(streams.length, 2);
  });
}
