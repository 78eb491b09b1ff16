/** Subtitles that a provider lists beside the video: text tracks of the archive's file, or entries of left_out. */
import assert from "node:assert/strict";
import { playlistOf } from "../../dev/emulators/origin/clip.ts";
import { assertWhole, clip, ffprobe, names } from "../../dev/testing/clip_host.ts";
import { type FetchFixture, ranged, startCanary, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { parseWebVtt } from "../subtitles/web_vtt.ts";

const SRT = "1\n00:00:01,000 --> 00:00:02,000\nOne &\n<i>two</i>\n\n2\n00:01:00,000 --> 00:01:01,000\nafter the end\n";
const ASS = [
  "[Script Info]",
  "ScriptType: v4.00+",
  "[Events]",
  "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
  "Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\\an8}{\\i1}Three{\\i0}",
  "Dialogue: 0,0:00:03.50,0:00:05.00,Default,,0,0,0,,four",
  "Dialogue: 0,0:00:06.00,0:00:07.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100{\\p0}",
  "",
].join("\n");
const FILES: Readonly<Record<string, string>> = {
  "/en.srt": SRT,
  "/id.ass": ASS,
  "/page.vtt": "<!doctype html><p>Log in",
  "/late.vtt": "WEBVTT\n\n10:00.000 --> 10:01.000\nlate\n",
};

function host(path: string, request: Request): Response {
  const segment = clip.ts[names.indexOf(path)];
  if (segment !== undefined) return new Response(segment);
  if (path === "/v.m3u8") return new Response(playlistOf(names));
  if (path === "/a.mp4") return ranged(request, clip.mp4, { etag: '"a"' });
  return FILES[path] === undefined ? new Response(null, { status: 404 }) : new Response(FILES[path]);
}

const listed = ({ url }: FetchFixture) => [
  { url: `${url}/en.srt`, language: "en", label: "English" },
  { url: `${url}/id.ass?token=1`, language: "id", label: null },
  { url: `${url}/id.ass?token=2`, language: "id", label: null },
];

async function cuesOf(path: string, track: number): Promise<(readonly [number, number, string])[]> {
  const { stdout } = await new Deno.Command("ffmpeg", {
    args: ["-nostdin", "-v", "error", "-i", path, "-map", `0:s:${track}`, "-c:s", "webvtt", "-f", "webvtt", "-"],
    stderr: "null",
  }).output();
  return parseWebVtt(new TextDecoder().decode(stdout))!.cues.map(({ start, end, text }) => [start, end, text] as const);
}

for (const [what, path] of [["a playlist", "/v.m3u8"], ["a file", "/a.mp4"]] as const) {
  Deno.test(`listed subtitles: SRT and ASS beside ${what} → text tracks`, async () => {
    await using fixture = await startFetchFixture(host);
    const result = await fixture.fetch(path, { subtitles: listed(fixture), kind: path === "/a.mp4" ? "mp4" : "hls" });
    await assertWhole(result);
    assert.deepEqual(result.media.left_out, []);
    assert.deepEqual(result.media.tracks.map(({ type, language }) => [type, language]), [
      ["video", null],
      ["audio", null],
      ["subtitles", "eng"],
      ["subtitles", "ind"],
    ]);
    const { streams } = await ffprobe(result.final.path, "stream_tags=handler_name");
    const labels = (streams as { tags: { handler_name: string } }[]).map(({ tags }) => tags.handler_name);
    assert.deepEqual(labels.slice(2), ["English", "id"]);
    assert.deepEqual(await cuesOf(result.final.path, 0), [[1, 2, "One &\n<i>two</i>"]]);
    assert.deepEqual(await cuesOf(result.final.path, 1), [
      [3, 3.5, "<i>Three</i>"],
      [3.5, 4, "<i>Three</i>\nfour"],
      [4, 5, "four"],
    ]);
    assert.equal(fixture.asked.filter((asked) => asked === "/id.ass").length, 1, "the same file with another token");
  });
}

Deno.test("listed subtitles: missing, private, a page, late → left out, video whole", async () => {
  await using canary = startCanary();
  await using fixture = await startFetchFixture(host);
  const subtitles = [
    { url: `${canary.url}/en.vtt`, language: "en" },
    { url: `${fixture.url}/missing.vtt`, label: "x".repeat(1000) },
    { url: `${fixture.url}/page.vtt` },
    { url: `${fixture.url}/late.vtt` },
    { url: `${fixture.url}/thumbnails.vtt`, kind: "metadata" },
    ...listed(fixture).slice(0, 1),
  ];
  const result = await fixture.fetch("/v.m3u8", { subtitles, kind: "hls" });
  await assertWhole(result);
  assert.equal(canary.hits(), 0);
  assert.deepEqual(result.media.left_out.map(({ code }) => code), [
    "policy_denied",
    "not_found",
    "unreadable",
    "no_cues",
    "outside",
  ]);
  assert.deepEqual(result.media.tracks.map(({ type }) => type), ["video", "audio", "subtitles"]);
  assert.ok(!fixture.asked.includes("/thumbnails.vtt"));
});

Deno.test("listed subtitles: an endless file, a hundred files → cut, video whole", async () => {
  await using fixture = await startFetchFixture((path, request) => {
    if (path !== "/endless.vtt") return host(path, request);
    const piece = new TextEncoder().encode("x".repeat(1 << 16));
    return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(piece) }));
  });
  const subtitles = [
    { url: `${fixture.url}/endless.vtt` },
    ...Array.from({ length: 100 }, (_, i) => ({ url: `${fixture.url}/${i}.vtt` })),
  ];
  const result = await fixture.fetch("/v.m3u8", { subtitles, kind: "hls" });
  await assertWhole(result);
  const codes = new Set(result.media.left_out.map(({ code }) => code));
  assert.deepEqual(codes, new Set(["too_many", "too_large", "not_found"]));
  assert.equal(fixture.asked.filter((path) => path.endsWith(".vtt")).length, 48);
});
