/** A server whose label names another size than its file has: the label is the key, the file's size is in the row and in the response. */
import assert from "node:assert/strict";
import { fileKey } from "../../core/file_key.ts";
import { SIGNING_KEYS } from "../../dev/testing/function_fixture.ts";
import { type RunnerFixture, startRunnerFixture } from "../../dev/testing/runner_fixture.ts";
import { servers, startApp } from "../../dev/testing/streaming_fixture.ts";

const VIDEO = { malId: 1, episode: 1, provider: "catalogue", resolution: "1080p" };

/** The public API, with a catalogue that labels the origin's MP4 of 1280x720 as 1080p. */
async function startApi(fixture: RunnerFixture) {
  const medium = fixture.origin.media.find(({ name }) => name === "mp4")!;
  const source = { url: await medium.url(), kind: "mp4", resolution: VIDEO.resolution };
  await fixture.database.sql`update public.providers set recipe = 'catalogue'`;
  const entries = [{ mal_id: 1, episode: 1, title: "Test", sources: [source], rights: "own work" }];
  await fixture.database.sql`select public.import_catalogue(${JSON.stringify(entries)}::text::jsonb, false)`;
  return startApp({ env: fixture.env } as Parameters<typeof startApp>[0], {
    CLOUDFLARE_WORKERS_URL: "https://worker.test",
    STREAM_SIGNING_KEYS: SIGNING_KEYS,
  });
}

Deno.test("label 1080p, file of 720p → archived once, its size in the row", async () => {
  await using fixture = await startRunnerFixture({ accounts: 1, env: { RUNNER_EXTRAS: "off" } });
  const { sql } = fixture.database;
  const { get } = await startApi(fixture);
  const [live] = servers((await get()).body, "catalogue");
  assert.deepEqual([live?.resolution, live?.archived, live?.width, live?.height, live?.media], [
    ...["1080p", false, null, null, null],
  ]);
  const run = await fixture.spawn("first", { args: ["run-once"] }).ended;
  assert.equal(run.code, 0);
  const stored = await sql`select resolution, width, height, file_key, media from public.video_store`;
  assert.equal(stored.length, 1);
  const [row] = stored;
  assert.deepEqual([row!.resolution, row!.width, row!.height], ["1080p", 1280, 720]);
  assert.equal(row!.file_key, await fileKey({ ...VIDEO, salt: fixture.env.HF_FILE_SALT! }));

  const [archived, ...more] = servers((await get()).body, "catalogue");
  assert.equal(more.length, 0);
  assert.deepEqual([archived?.resolution, archived?.archived, archived?.width, archived?.height], [
    ...["1080p", true, 1280, 720],
  ]);
  assert.deepEqual(archived?.media?.tracks.map(({ type, codec }) => [type, codec]), [["video", "h264"], [
    "audio",
    "aac",
  ]]);
  const jobs = await sql`select resolution, status from public.video_queue`;
  assert.deepEqual([...jobs], [{ resolution: "1080p", status: "ready" }]);
  const again = fixture.spawn("second", { args: ["run-once"] });
  assert.equal((await again.ended).code, 0);
  assert.ok(!again.lines.some((line) => line.includes("job:")), again.lines.join("\n"));
});
