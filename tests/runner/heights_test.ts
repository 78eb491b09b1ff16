/** Every height of a source: one row and one file each, shared audio fetched once. With real runners, a database and a hub. */
import assert from "node:assert/strict";
import { playlistOf, readClip } from "../../dev/emulators/origin/clip.ts";
import { type RunnerFixture, startRunnerFixture } from "../../dev/testing/runner_fixture.ts";
import { SIGNING_KEYS } from "../../dev/testing/function_fixture.ts";
import { servers, startApp } from "../../dev/testing/streaming_fixture.ts";

const clip = await readClip();
const CODECS = 'CODECS="avc1.42c01e,mp4a.40.2",AUDIO="a",SUBTITLES="s"';
const CHAPTERS = [{ seconds: 1, title: "Opening", kind: "intro" }];
const SIZES = ["854x480", "640x360", "426x240"];

/** A source with three heights, two shared audio languages and subtitles. `broken`: a height whose segments are missing. */
function startHost(options: { broken?: string } = {}) {
  const asked: string[] = [];
  const segments = clip.videoTs.map((_, i) => `${i}.ts`);
  const master = [
    "#EXTM3U",
    ...["ja", "en"].map((language) =>
      `#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="${language}",LANGUAGE="${language}",URI="${language}/a.m3u8"`
    ),
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="English",LANGUAGE="en",URI="text/s.m3u8"',
    ...SIZES.flatMap((size, i) => [
      `#EXT-X-STREAM-INF:BANDWIDTH=${9 - i},RESOLUTION=${size},${CODECS}`,
      `${size.split("x")[1]}/v.m3u8`,
    ]),
    "",
  ].join("\n");
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    const [, directory = "", name = ""] = pathname.split("/");
    if (directory === "master.m3u8") return new Response(master);
    if (name === "s.m3u8") return new Response(playlistOf(["1.vtt"]));
    if (directory === "listed.srt") return new Response("1\n00:00:02,000 --> 00:00:03,000\nHalo\n");
    if (name === "1.vtt") return new Response("WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n");
    if (name.endsWith(".m3u8")) return new Response(playlistOf(segments));
    const bytes = (/^\d+$/.test(directory) ? clip.videoTs : clip.audioTs)[segments.indexOf(name)];
    const missing = bytes === undefined || (directory === options.broken && name === "3.ts");
    return missing ? new Response(null, { status: 404 }) : new Response(bytes);
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  return { url, asked, [Symbol.asyncDispose]: () => server.shutdown() };
}

async function startFixture(
  host: { url: string },
  qualities: string,
  { env = {}, listed = {} }: { env?: Record<string, string>; listed?: object } = {},
) {
  const fixture = await startRunnerFixture({
    accounts: 1,
    env: { DEV_ALLOWED_ORIGINS: host.url, RUNNER_EXTRAS: "off", ...env },
  });
  await fixture.database.sql`update public.providers set recipe = 'catalogue', qualities = ${qualities}`;
  const source = { url: `${host.url}/master.m3u8`, kind: "hls", resolution: "480p", label: "Own 480p" };
  const sources = [{ ...source, chapters: CHAPTERS, ...listed }];
  const entries = [{ mal_id: 1, episode: 1, title: "Test", sources, rights: "own work" }];
  await fixture.database.sql`select public.import_catalogue(${JSON.stringify(entries)}::text::jsonb, false)`;
  const { get } = await startApp({ env: fixture.env } as Parameters<typeof startApp>[0], {
    CLOUDFLARE_WORKERS_URL: "https://worker.test",
    STREAM_SIGNING_KEYS: SIGNING_KEYS,
  });
  return { fixture, get };
}

const rows = async ({ database }: RunnerFixture) =>
  [...await database.sql`select resolution, status from public.video_queue order by created_at, resolution desc`]
    .map((row) => `${row["resolution"]} ${row["status"]}`);

function repeated(asked: readonly string[]): string[] {
  return asked.filter((path, i) => /\.(ts|vtt)$/.test(path) && asked.indexOf(path) !== i);
}

Deno.test("heights: all → a row and file each, the audio is fetched once", async () => {
  await using host = startHost();
  const { fixture, get } = await startFixture(host, "all");
  await using _ = fixture;
  const { sql } = fixture.database;
  await get();
  const run = fixture.spawn("r1", { args: ["run-once"] });
  assert.equal((await run.ended).code, 0, run.lines.join("\n"));
  assert.deepEqual(await rows(fixture), ["480p ready", "360p ready", "240p ready"]);
  assert.deepEqual(repeated(host.asked), []);
  const stored = await sql`
    select resolution, media -> 'variant' ->> 'height' as height, media -> 'tracks' as tracks, media -> 'chapters' as chapters, file_key
    from public.video_store order by created_at`;
  assert.deepEqual(stored.map((row) => [row["resolution"], row["height"]]), [
    ["480p", "480"],
    ["360p", "360"],
    ["240p", "240"],
  ]);
  assert.equal(new Set(stored.map((row) => row["file_key"])).size, 3);
  for (const { tracks, chapters } of stored) {
    assert.deepEqual(chapters, CHAPTERS);
    assert.deepEqual(
      (tracks as { type: string; language: string | null }[]).map(({ type, language }) => [type, language]),
      [
        ["video", null],
        ["audio", "jpn"],
        ["audio", "eng"],
        ["subtitles", "eng"],
      ],
    );
  }
  const listed = servers((await get()).body, "catalogue");
  assert.deepEqual(listed.map(({ provider, resolution, archived, url }) => [provider, resolution, archived, url]), [
    ["Own 480p", "480p", true, `${host.url}/master.m3u8`],
    ["Own 360p", "360p", true, `${host.url}/master.m3u8`],
    ["Own 240p", "240p", true, `${host.url}/master.m3u8`],
  ]);
  assert.equal((await rows(fixture)).length, 3, "a second request enqueues nothing");
  const left = await Array.fromAsync(Deno.readDir(fixture.workDir), ({ name }) => name);
  assert.deepEqual(left.filter((name) => name.startsWith("job-")), [], "no file is left");
});

Deno.test("heights: one of a list is broken → its row says so, the others are ready", async () => {
  await using host = startHost({ broken: "360" });
  const subtitles = [{ url: `${host.url}/listed.srt`, language: "id" }];
  const { fixture, get } = await startFixture(host, "720,360,240", { listed: { subtitles } });
  await using _ = fixture;
  await get();
  assert.equal((await fixture.spawn("r1", { args: ["run-once"] }).ended).code, 2);
  assert.deepEqual(await rows(fixture), ["480p ready", "360p failed", "240p ready"]);
  const [failed] = await fixture.database.sql`select error_message from public.video_queue where status = 'failed'`;
  assert.match(failed!["error_message"], /segment 4 of video/);
  const stored = await fixture.database.sql`select media -> 'tracks' as tracks from public.video_store`;
  for (const { tracks } of stored) {
    const languages = (tracks as { type: string; language: string }[]).filter(({ type }) => type === "subtitles");
    assert.deepEqual(languages.map(({ language }) => language), ["eng", "ind"]);
  }
  assert.equal(host.asked.filter((path) => path === "/listed.srt").length, 1);
  assert.deepEqual(host.asked.filter((path) => /^\/(ja|en)\//.test(path) && path.endsWith(".ts")).length, 12);
});

Deno.test("heights: the runner is killed at one → another runner archives the rest", async () => {
  await using host = startHost();
  const { fixture, get } = await startFixture(host, "all", { env: { RUNNER_LEASE_SECONDS: "10" } });
  await using _ = fixture;
  await get();
  const first = fixture.spawn("r1");
  await first.saw("job:claimed", (line) => line["resolution"] === "360p");
  first.child.kill("SIGKILL");
  await first.ended;
  fixture.spawn("r2");
  for (const end = Date.now() + 180_000; (await rows(fixture)).some((row) => !row.endsWith("ready"));) {
    assert.ok(Date.now() < end, (await rows(fixture)).join(", "));
    await fixture.database.sql`select public.sweep()`; // as pg_cron does
    await new Promise((next) => setTimeout(next, 200));
  }
  assert.equal((await rows(fixture)).length, 3);
});
