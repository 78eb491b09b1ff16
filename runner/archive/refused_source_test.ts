// Files that are not videos are never stored: a real runner, all kinds of targets, and a source that serves something else as .mp4.

import assert from "node:assert/strict";
import { startRunnerFixture } from "../../dev/testing/runner_fixture.ts";
import { startS3 } from "../../dev/emulators/s3/s3.ts";
import { stageFile } from "../transfer/staged_file.ts";
import { storageTargetsFromEnv } from "../storage_targets.ts";

const HTML = new TextEncoder().encode("<!doctype html><title>Just a moment</title>".padEnd(5000));
const ZIP = new Uint8Array([0x50, 0x4b, 3, 4, ...new Uint8Array(5000)]);
/** Starts like an MP4 and continues as an HTML page. */
const DISGUISED = new Uint8Array([0, 0, 0, 24, ...new TextEncoder().encode("ftypisom\0\0\0\0isomavc1"), ...HTML]);

Deno.test("stageFile: a page, a zip, an empty or tiny file → refused permanently", async () => {
  for (const bytes of [HTML, ZIP, new Uint8Array(), new Uint8Array([0, 0, 0, 24, 0x66, 0x74])]) {
    const path = await Deno.makeTempFile({ suffix: ".mp4" });
    await Deno.writeFile(path, bytes);
    await assert.rejects(stageFile(path), { problem: "refused", code: "unsupported", retryable: false });
    await Deno.remove(path);
  }
});

Deno.test("job: the source is a page, a zip or a disguised page → dead letter", async () => {
  const bodies: Record<string, Uint8Array<ArrayBuffer>> = { html: HTML, zip: ZIP, disguised: DISGUISED };
  const source = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const name = /\/(\w+)\.mp4$/.exec(new URL(request.url).pathname)?.[1] ?? "";
    return new Response(bodies[name], { headers: { "content-type": "video/mp4" } });
  });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => source.shutdown());
  const dir = await Deno.makeTempDir({ prefix: "keepstream-refused-" });
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  await Deno.mkdir(`${dir}/folder`);
  const s3 = stack.use(await startS3({ dir: `${dir}/s3`, bucket: "copies" }));
  const origin = `http://127.0.0.1:${source.addr.port}`;
  const storage = {
    ...s3.env,
    STORAGE_FOLDER: `${dir}/folder`,
    STORAGE_FOLDER_URL: "http://127.0.0.1:1/archive",
    STORAGE_FOLDER_TOKEN: "token-of-the-folder",
  };
  const fixture = stack.use(
    await startRunnerFixture({ accounts: 1, env: { ...storage, DEV_ALLOWED_ORIGINS: origin } }),
  );
  const runner = fixture.spawn();
  for (const [index, name] of Object.keys(bodies).entries()) {
    const id = await fixture.enqueue({
      mal_id: index + 1,
      episode: 1,
      provider: "catalogue",
      video_url: `${origin}/${name}.mp4`,
      resolution: "720p",
    });
    const row = await fixture.until(id, (row) => row.terminal_at !== null);
    assert.deepEqual([row.status, row.error_class], ["failed", "unsupported"], name);
  }
  assert.equal(runner.lines.some((line) => line.includes("job:archived")), false);
  const written = fixture.hub.calls.filter((call) => call.method !== "GET" && call.at !== "whoami");
  assert.deepEqual(written, []);
  const [, bucket, folder] = storageTargetsFromEnv({ ...fixture.env });
  assert.deepEqual([...Deno.readDirSync(`${dir}/folder`)], []);
  assert.equal(await bucket!.removeTitle({ malId: 1 }), 0);
  assert.equal(folder!.kind, "folder");
});
