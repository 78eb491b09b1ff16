import assert from "node:assert/strict";
import { parseSigningKeys, type VerifiedLink, verifyLink } from "../../core/link.ts";
import { unwrap } from "../../core/result.ts";
import { SIGNING_KEYS } from "../../dev/testing/function_fixture.ts";
import { episodeResponseSchema, type PublicServer } from "./episode_schema.ts";
import type { EpisodeRecord, StoredVideo } from "./episode_store.ts";
import { episodeResponse } from "./response.ts";
import { createStreamLinks } from "./stream_link.ts";

const keys = unwrap(parseSigningKeys(SIGNING_KEYS));
const NOW = 1_900_000_000;
const [MAIN, SMALL, PLAIN] = ["a".repeat(32), "b".repeat(32), "c".repeat(32)];
const SERVER = {
  ...{ label: "One 720p", embed_url: "https://embed.test/1", video_url: "https://cdn.test/v/m.m3u8", kind: "hls" },
  ...{ resolution: "720p", headers: { referer: "https://embed.test/" }, expires_at: null },
  subtitles: [{ url: "https://cdn.test/en.vtt", language: "en", label: "English", kind: "captions" }],
};

const track = (kind: string, playlist: string | null, more: object = {}) => ({
  ...{ kind, playlist, codec: null, language: null, label: kind, default: false, forced: false, channels: null },
  ...{ width: null, height: null, frame_rate: null, bandwidth: null, average_bandwidth: null },
  ...more,
});

const TRACKS = [
  track("video", "v", { codec: "avc1.64001f", height: 720, default: true }),
  track("audio", "a0", { codec: "ec-3", language: "en", label: "English" }),
  track("audio", "a1", { codec: "mp4a.40.2", language: "ja", label: "Japanese", default: true }),
  track("subtitles", "s0", { language: "en", label: "English" }),
  track("subtitles", "s1", { language: "de", label: "German (forced)", forced: true }),
];

function stored(key: string, resolution: string, media: object | null, more: object = {}): StoredVideo {
  const report = { tracks: [], variant: null, converted: [], left_out: [] };
  return {
    ...{ provider: "own", resolution, hf_repo: "ana/anime-1", hf_path: `1/ep1/${key}.mp4` },
    hf_direct_url: `https://hub.test/datasets/ana/anime-1/resolve/0123abc/1/ep1/${key}.mp4`,
    ...{ size_bytes: 1000, duration_seconds: 1440.5, width: 1280, height: 720 },
    media: media === null ? null : { ...report, ...media },
    replicas: null,
    ...more,
  } as StoredVideo;
}

const presented = (form: string, tracks: readonly object[] = TRACKS) => ({
  presentation: { form, plain_because: null, duration: 1440.5, segments: 264, tracks },
});

async function respond(store: readonly StoredVideo[], { listed = [SERVER], takenDown = false } = {}) {
  const record: EpisodeRecord = {
    ...{ providers: [{ name: "own", recipe: "page", base_url: null, config: {} }], catalogue: null, mappings: {} },
    ...{ source_lists: {}, source_reads: {}, open_circuits: {}, store: [...store], queue: [], taken_down: false },
  };
  const state = { state: "ok", took_ms: 1, cached: false } as const;
  const results = new Map([["own", { list: { state: "ok" as const, servers: listed }, state }]]);
  const response = await episodeResponse({ key: { malId: 1, episode: 1 }, record, queue: [], results, detail: null }, {
    links: createStreamLinks({ proxyBaseUrl: "https://worker.test", keys }),
    ...{ hubEndpoint: "https://hub.test", archiveBases: ["https://hub.test/datasets/"], linkTtlSeconds: 600 },
    now: () => NOW * 1000,
    isTakenDown: () => Promise.resolve(takenDown),
  });
  episodeResponseSchema.parse(response);
  const [server] = response.data.own as PublicServer[];
  return { response, server: server!, master: response.providers.own!.master };
}

async function verified(link: string | null, now = NOW): Promise<VerifiedLink> {
  return unwrap(await verifyLink(new URL(link!), keys, now));
}

Deno.test("archived server: hybrid form → tracks, subtitles, playlist and size", async () => {
  const { server } = await respond([stored(MAIN, "720p", presented("hybrid"))]);
  assert.deepEqual(server.tracks.map(({ kind, language, codec, default: chosen }) => [kind, language, codec, chosen]), [
    ["video", null, "avc1.64001f", true],
    ["audio", "en", "ec-3", false],
    ["audio", "ja", "mp4a.40.2", true],
    ["subtitles", "en", null, false],
    ["subtitles", "de", null, false],
  ]);
  assert.equal(server.tracks[4]!.forced, true);
  assert.deepEqual(
    [server.codecs, server.mime_type, server.duration, server.size_bytes, server.width, server.height],
    ["avc1.64001f,mp4a.40.2", "video/mp4", 1440.5, 1000, 1280, 720],
  );
  const hls = await verified(server.hls);
  assert.match(hls.url.href, new RegExp(`/resolve/0123abc/1/ep1/${MAIN}\\.m3u8$`));
  assert.equal(hls.scope, "https://hub.test/datasets/ana/anime-1/resolve/0123abc/1/ep1/");
  assert.deepEqual(hls.context, { archive: true, files: [MAIN], episode: { malId: 1, episode: 1, provider: "own" } });
  assert.ok(server.hls!.endsWith(".m3u8"), "players look for the extension at the end");
  const subtitles = await Promise.all(
    server.subtitles.map(async (one) => [one.language, (await verified(one.url)).url.href.slice(-7), one.source_url]),
  );
  assert.deepEqual(subtitles, [["en", ".s0.vtt", null], ["de", ".s1.vtt", null]]);
  assert.equal("presentation" in server.media!, false);
  assert.match((await verified(server.stream)).url.href, /\.mp4$/, "the plain file, as before");
});

Deno.test("archived server: pictures → links only if they are stored", async () => {
  const sidecars = [".m3u8", ".poster.jpg", ".sprite.jpg", ".sprite.vtt"];
  const { server } = await respond([stored(MAIN, "720p", { ...presented("plain"), sidecars })]);
  assert.match((await verified(server.poster)).url.href, /\.poster\.jpg$/);
  assert.match((await verified(server.thumbnails)).url.href, /\.sprite\.vtt$/);
  const unknown = await respond([stored(MAIN, "720p", presented("hybrid"))]);
  assert.deepEqual([unknown.server.poster, unknown.server.thumbnails], [null, null]);
  const lost = await respond([stored(MAIN, "720p", { ...presented("hybrid"), sidecars: [".poster.jpg"] })]);
  assert.deepEqual([lost.server.hls, lost.master], [null, null], "its playlists are not stored");
});

Deno.test("archived server: links → valid for twice the duration", async () => {
  const { server, master } = await respond([stored(MAIN, "720p", presented("hybrid"))]);
  for (const link of [server.stream, server.hls, server.subtitles[0]!.url, master]) await verified(link, NOW + 2880);
});

Deno.test("archived server: of an earlier version → its tracks, listed subtitles", async () => {
  const tracks = [
    { type: "video", codec: "h264", language: null, name: null },
    { type: "audio", codec: "aac", language: "ja", name: null },
    { type: "audio", codec: "aac", language: "en", name: "English" },
  ];
  const { server, master } = await respond([stored(MAIN, "720p", { tracks })]);
  assert.deepEqual(server.tracks.map(({ label, default: chosen }) => [label, chosen]), [
    ["video", true],
    ["ja", true],
    ["English", false],
  ]);
  assert.deepEqual([server.hls, server.codecs, server.poster, master], [null, null, null, null]);
  assert.deepEqual(server.subtitles.map(({ source_url }) => source_url), ["https://cdn.test/en.vtt"]);
  const bare = await respond([stored(MAIN, "720p", null)]);
  assert.deepEqual([bare.server.tracks, bare.server.media, bare.server.mime_type], [[], null, "video/mp4"]);
});

Deno.test("archived server: plain form → its subtitles if they are stored", async () => {
  const tracks = TRACKS.map((one) => ({ ...one, playlist: null }));
  const sidecars = [".s1.vtt"];
  const { server, master } = await respond([stored(MAIN, "720p", { ...presented("plain", tracks), sidecars })]);
  assert.deepEqual([server.hls, master], [null, null]);
  assert.deepEqual(server.subtitles.map(({ language }) => language), ["de"]);
  assert.match((await verified(server.subtitles[0]!.url)).url.href, /\.s1\.vtt$/);
});

Deno.test("live server: subtitles signed with its headers, source URL kept", async () => {
  const { server } = await respond([]);
  assert.deepEqual([server.tracks, server.hls, server.duration, server.mime_type], [
    [],
    null,
    null,
    "application/vnd.apple.mpegurl",
  ]);
  const [subtitle] = server.subtitles;
  assert.deepEqual([subtitle!.source_url, subtitle!.language, subtitle!.label, subtitle!.kind], [
    "https://cdn.test/en.vtt",
    "en",
    "English",
    "captions",
  ]);
  const link = await verified(subtitle!.url);
  assert.deepEqual([link.url.href, link.scope, link.context], ["https://cdn.test/en.vtt", null, {
    headers: { referer: "https://embed.test/" },
    subtitles: true,
    episode: { malId: 1, episode: 1, provider: "own" },
  }]);
});

Deno.test("provider master: one link for all qualities, the largest first", async () => {
  const small = stored(SMALL, "360p", presented("hybrid"), { height: 360, width: 640 });
  const same = stored("d".repeat(32), "HD", presented("hybrid"));
  const plain = stored(PLAIN, "1080p", presented("plain"), { height: 1080 });
  const { master, response } = await respond([small, plain, stored(MAIN, "720p", presented("hybrid")), same]);
  const link = await verified(master);
  assert.deepEqual(link.context.files, [MAIN, SMALL]);
  assert.equal(link.url.href, `https://hub.test/datasets/ana/anime-1/resolve/main/1/ep1/${MAIN}.m3u8`);
  assert.deepEqual(response.data.own!.map(({ provider }) => provider), [
    "One 720p",
    "Archive 360p",
    "Archive 1080p",
    "Archive HD",
  ]);
  const missing = stored(MAIN, "720p", presented("hybrid"), { replicas: [] });
  assert.deepEqual((await verified((await respond([small, missing])).master)).context.files, [SMALL]);
  assert.equal((await respond([plain])).master, null);
});

Deno.test("provider master: fewer tracks or another cut → not the main one, left out", async () => {
  const mute = stored(MAIN, "720p", presented("hybrid", TRACKS.slice(0, 2)));
  const small = stored(SMALL, "360p", presented("hybrid"), { height: 360 });
  const other = stored(PLAIN, "480p", presented("hybrid"), { height: 480, duration_seconds: 1500 });
  assert.deepEqual((await verified((await respond([mute, small])).master)).context.files, [SMALL, MAIN]);
  assert.deepEqual((await verified((await respond([mute, other, small])).master)).context.files, [PLAIN]);
});

Deno.test("archived server: further heights → the server's label and page, largest first", async () => {
  const further = (key: string, resolution: string, main: string | null) =>
    stored(key, resolution, presented("hybrid"), { height_of: { resolution: main } });
  const store = [
    further(SMALL, "240p", "720p"),
    further(PLAIN, "1080p", "720p"),
    stored(MAIN, "720p", presented("hybrid")),
  ];
  const { response } = await respond(store);
  assert.deepEqual(response.data.own!.map(({ provider, resolution, url }) => [provider, resolution, url]), [
    ["One 720p", "720p", "https://embed.test/1"],
    ["One 1080p", "1080p", "https://embed.test/1"],
    ["One 240p", "240p", "https://embed.test/1"],
  ]);
  const unnamed = [{ ...SERVER, label: "One", resolution: null as unknown as string }];
  const { response: other } = await respond([further(SMALL, "240p", null)], { listed: unnamed });
  assert.deepEqual(other.data.own!.map(({ provider, archived }) => [provider, archived]), [
    ["One", false],
    ["One 240p", true],
  ]);
  const { response: gone } = await respond(store, { listed: [] });
  assert.deepEqual(gone.data.own!.map(({ provider }) => provider), ["Archive 1080p", "Archive 240p", "Archive 720p"]);
});

Deno.test("archived server: the archive's chapters, otherwise the provider's", async () => {
  const chapters = [{ seconds: 1, title: "Opening", kind: "intro" }];
  const copy = stored(MAIN, "720p", { ...presented("hybrid"), chapters });
  assert.deepEqual((await respond([copy])).server.chapters, chapters);
  const listed = [{ ...SERVER, chapters: [{ seconds: 2, title: "Part A" }] }];
  assert.deepEqual((await respond([copy], { listed })).server.chapters, chapters);
  const without = stored(MAIN, "720p", presented("hybrid"));
  assert.deepEqual((await respond([without], { listed })).server.chapters, listed[0]!.chapters);
  assert.equal((await respond([without])).server.chapters, undefined);
});

Deno.test("taken-down archive of another episode → no link of any kind", async () => {
  const url = `https://hub.test/datasets/ana/anime-2/resolve/main/2/ep1/${MAIN}.mp4`;
  const copy = stored(MAIN, "720p", { ...presented("hybrid"), sidecars: [".poster.jpg"] }, { hf_direct_url: url });
  const { server, master } = await respond([copy], { takenDown: true });
  assert.deepEqual([server.stream, server.hls, server.poster, server.mime_type, master], [
    null,
    null,
    null,
    null,
    null,
  ]);
  assert.ok(server.subtitles.every(({ source_url }) => source_url !== null));
  assert.equal(server.code, "taken_down");
});
