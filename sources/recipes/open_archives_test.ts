import assert from "node:assert/strict";
import {
  ARCHIVE_ITEM,
  internetArchive,
  peertube,
  PEERTUBE_FILES_IN_PLAYLIST,
  PEERTUBE_SPLIT,
  PEERTUBE_VIDEO,
} from "../../dev/emulators/sites/open_archives.ts";
import { createSites, type Site } from "../../dev/emulators/sites/sites.ts";
import { createPageClient } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";
import { internetArchiveRecipe } from "./internet_archive.ts";
import { peertubeRecipe } from "./peertube.ts";
import type { Recipe } from "./recipe.ts";

interface Asked {
  readonly page: string;
  readonly episode?: number;
  readonly config?: Record<string, unknown>;
}

function list(recipe: Recipe, site: Site, { page, episode = 1, config = {} }: Asked) {
  const { fetch } = createSites({ "open.test": site });
  const provider = { name: "p", recipe: recipe.name, base_url: "https://open.test", config };
  const pages = createPageClient({ fetch, signal: new AbortController().signal });
  return recipe.listServers({ malId: 1, episode, provider, page, catalogue: null }, pages);
}

const item = (site: unknown, episode = 1) =>
  list(internetArchiveRecipe, internetArchive(site), { page: "open_film", episode });
const video = (site: unknown, request: Asked = { page: "abc" }) => list(peertubeRecipe, peertube(site), request);
const refusedAs = (reason: string) => (error: unknown) => error instanceof SourceError && error.reason === reason;

Deno.test("internet-archive: original and derivatives → URLs percent-encoded", async () => {
  const { servers } = await item(ARCHIVE_ITEM);
  assert.deepEqual(servers.map((one) => [one.label, one.resolution, one.embedUrl, one.direct?.kind]), [
    ["Matroska 1080p", "1080p", "https://open.test/download/open_film/Open%20Film%20ep1.mkv", "mkv"],
    ["h.264 480p", "480p", "https://open.test/download/open_film/Open%20Film%20ep1.mp4", "mp4"],
    ["512Kb MPEG4 240p", "240p", "https://open.test/download/open_film/Open%20Film%20ep1_512kb.mp4", "mp4"],
  ]);
  assert.deepEqual(servers[0]?.subtitles?.map((one) => one.label), ["Open Film ep1.en.vtt"]);
});

Deno.test("internet-archive: number in a file's name → its episode", async () => {
  assert.deepEqual((await item(ARCHIVE_ITEM, 2)).servers.map((one) => one.label), ["Matroska 1080p"]);
  assert.deepEqual((await item(ARCHIVE_ITEM, 3)).servers, []);
});

Deno.test("an item without a licence → not_permitted; {} (no such item) → gone", async () => {
  await assert.rejects(item({ ...ARCHIVE_ITEM, metadata: { identifier: "open_film" } }), refusedAs("not_permitted"));
  await assert.rejects(item({}), refusedAs("gone"));
});

Deno.test("internet-archive: wrong item type → parse; wrong file → left out", async () => {
  await assert.rejects(item([]), refusedAs("parse"));
  await assert.rejects(item({ ...ARCHIVE_ITEM, files: "many" }), refusedAs("parse"));
  const files = [{ name: 5 }, null, { name: "Open Film.mp4", height: { a: 1 }, original: ["x"] }];
  assert.deepEqual((await item({ ...ARCHIVE_ITEM, files })).servers.map((one) => one.resolution), [null]);
});

Deno.test("peertube: complete files → servers; audio only → none", async () => {
  const { servers } = await video(PEERTUBE_VIDEO);
  assert.deepEqual(servers.map((one) => [one.label, one.direct?.kind]), [["PeerTube 720p", "mp4"], [
    "PeerTube 360p",
    "mp4",
  ]]);
  assert.deepEqual(servers[0]?.subtitles, [{
    url: "https://open.test/lazy/abc-id.vtt",
    language: "id",
    label: "Indonesian",
  }]);
  assert.deepEqual(servers[0]?.chapters, [{ seconds: 12, title: "Opening" }]);
});

Deno.test("peertube: files only in the playlist, or split audio → the playlist", async () => {
  assert.deepEqual((await video(PEERTUBE_FILES_IN_PLAYLIST)).servers.map((one) => one.embedUrl), [
    "https://tube.test/hls/480.mp4",
  ]);
  const [split] = (await video(PEERTUBE_SPLIT)).servers;
  assert.deepEqual([split?.embedUrl, split?.resolution, split?.direct?.kind], [
    "https://tube.test/hls/master.m3u8",
    "1080p",
    "hls",
  ]);
});

Deno.test("peertube: downloads off or licence not listed → not_permitted", async () => {
  await assert.rejects(video({ ...PEERTUBE_VIDEO, downloadEnabled: false }), refusedAs("not_permitted"));
  await assert.rejects(video(PEERTUBE_VIDEO, { page: "abc", config: { licences: [7] } }), refusedAs("not_permitted"));
  assert.equal((await video(PEERTUBE_VIDEO, { page: "abc", config: { licences: [1] } })).servers.length, 2);
});

Deno.test("peertube: 404 → http_4xx; response of other types → parse", async () => {
  await assert.rejects(video(PEERTUBE_VIDEO, { page: "missing" }), refusedAs("http_4xx"));
  await assert.rejects(video({ ...PEERTUBE_VIDEO, files: [{ resolution: "720p" }] }), refusedAs("parse"));
  await assert.rejects(video("hello"), refusedAs("parse"));
});

Deno.test("peertube: playlist → its videos are episodes; one video → 1", async () => {
  assert.equal((await video(PEERTUBE_VIDEO, { page: "playlist:list", episode: 2 })).servers.length, 2);
  await assert.rejects(video(PEERTUBE_VIDEO, { page: "playlist:list", episode: 3 }), refusedAs("empty"));
  await assert.rejects(video(PEERTUBE_VIDEO, { page: "abc", episode: 2 }), refusedAs("empty"));
});
