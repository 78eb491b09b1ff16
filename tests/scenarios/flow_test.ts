/**
 * The main job against the real processes, a step of the test for each step of the flow: ask, play, wake, archive, replicate, ask
 * again, play the archive, seek.
 */
import assert from "node:assert/strict";
import { connect } from "../../dev/demo/connect.ts";
import * as steps from "../../dev/demo/demo_steps.ts";

/** Of the origin's HLS, whose server states 480p. */
const FURTHER_HEIGHT = "240p";

Deno.test("the flow of an episode, from the first request to the archive", async (t) => {
  const signal = AbortSignal.timeout(240_000);
  await using connection = await connect({ ownSystem: true });
  const { system, sql } = connection;
  const id = await steps.addEpisode(system, 55825);
  let first!: steps.EpisodeResponse;
  let second!: steps.EpisodeResponse;
  let archive!: steps.ArchivedFile[];

  await t.step(
    "GET before any archive → every server with a signed proxy link",
    async () => {
      first = await steps.askEpisode(system, id, signal);
      assert.ok(first.servers.length >= 2);
      assert.deepEqual(first.servers.map((server) => server.archived), first.servers.map(() => false));
    },
  );

  await t.step("GET stream links → MP4 and HLS decode to the last packet", async () => {
    for (const played of await steps.playAll(first, signal)) {
      assert.ok(played.video > 500, `${played.provider}: ${played.video}`);
      assert.ok(played.audio > 500, `${played.provider}: ${played.audio}`);
    }
  });

  await t.step("the live HLS → two qualities, two audio languages, subtitles", async () => {
    const { stream } = first.servers.find(({ provider }) => provider.includes("hls"))!;
    const playlist = await (await fetch(stream!, { signal })).text();
    const count = (pattern: RegExp) => playlist.match(pattern)?.length ?? 0;
    assert.equal(count(/^#EXT-X-STREAM-INF:/gm), 2, playlist);
    assert.deepEqual([count(/TYPE=AUDIO/g), count(/TYPE=SUBTITLES/g)], [2, 1], playlist);
  });

  await t.step("video_queue after the response → one job per server", async () => {
    const jobs = await steps.readJobs(sql, id);
    assert.equal(jobs.filter((job) => job.resolution !== FURTHER_HEIGHT).length, first.servers.length);
  });

  await t.step("the runner, woken by the commit → every job ready", async () => {
    const jobs = await steps.waitForArchive(sql, id, { signal });
    assert.deepEqual(jobs.map((job) => job.error), jobs.map(() => null));
    await steps.checkNotification(sql, jobs);
  });

  await t.step("each storage account → the file whose sha256 the store holds", async () => {
    archive = await steps.waitForCopies(sql, id, { copies: system.accounts.length, signal });
    assert.equal(archive.length, first.servers.length + 1);
    assert.equal(await steps.compareCopies(system, archive), archive.length * system.accounts.length);
  });

  await t.step("GET after archiving → the same servers and the other height, from the archive", async () => {
    second = await steps.askEpisode(system, id, signal);
    assert.deepEqual(second.servers.map((server) => server.archived), second.servers.map(() => true));
    const listed = second.servers.filter((server) => server.resolution !== FURTHER_HEIGHT);
    assert.deepEqual(listed.map((server) => server.url), first.servers.map((server) => server.url));
  });

  await t.step("the archived HLS → two qualities with both languages and subtitles", () => {
    const files = second.servers.filter(({ provider }) => provider.includes("hls"));
    assert.deepEqual(files.map(({ resolution, height }) => [resolution, height]), [["480p", 480], [
      FURTHER_HEIGHT,
      240,
    ]]);
    for (const { media } of files) {
      const tracks = media!.tracks.map(({ type, language }) => [type, language]);
      assert.deepEqual(tracks, [["video", null], ["audio", "jpn"], ["audio", "eng"], ["subtitles", "eng"]]);
    }
  });

  await t.step("the provider's master → every archived quality, both languages, subtitles", async () => {
    const url = `${system.gatewayUrl}/functions/v1/streaming/${id.malId}/${id.episode}`;
    const response = await fetch(url, { headers: { apikey: system.publishableKey }, signal });
    const { providers } = await response.json() as { providers: Record<string, { master: string | null }> };
    const master = Object.values(providers).find(({ master }) => master !== null)!.master!;
    const playlist = await (await fetch(master, { signal })).text();
    const count = (pattern: RegExp) => playlist.match(pattern)?.length ?? 0;
    assert.equal(count(/^#EXT-X-STREAM-INF:/gm), second.servers.length, playlist);
    assert.deepEqual([count(/TYPE=AUDIO/g), count(/TYPE=SUBTITLES/g)], [2, 1], playlist);
    const links = [...playlist.matchAll(/^(?!#).+$/gm), ...playlist.matchAll(/(?<=TYPE=AUDIO.*URI=")[^"]+/g)];
    for (const [link] of links) {
      const media = await (await fetch(link!, { signal })).text();
      const [, range, segment] = /#EXT-X-BYTERANGE:(\d+@\d+)\n(.+)/.exec(media)!;
      const [length, offset] = range!.split("@").map(Number) as [number, number];
      const part = await fetch(segment!, { headers: { range: `bytes=${offset}-${offset + length - 1}` }, signal });
      const bytes = await part.bytes();
      assert.deepEqual([part.status, bytes.length], [206, length]);
      assert.equal(new TextDecoder().decode(bytes.subarray(4, 8)), "moof");
    }
  });

  await t.step("GET archive links through the proxy → the archived bytes, sha256 equal", async () => {
    assert.equal(
      (await steps.compareThroughProxy(system, { response: second, archive, signal })).length,
      archive.length,
    );
  });

  await t.step("seeking in the archive → frames decode and ranges are exact", async () => {
    assert.equal(await steps.seekAll({ response: second, archive, signal }), archive.length * 2);
  });

  await t.step("links given out before the archive → still play", async () => {
    assert.equal((await steps.playAll(first, signal)).length, first.servers.length);
  });
});
