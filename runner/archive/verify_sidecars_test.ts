// Sidecars that are missing, damaged or forged: found by verify, added by repair, while the copy stays in service.
import assert from "node:assert/strict";
import { sealText } from "../../core/manifest/sealing.ts";
import { runTask, tamper, textsBeside } from "../../dev/testing/sidecars_fixture.ts";
import { createStorageFixture } from "../../dev/testing/storage_fixture.ts";

const MEDIA = {
  presentation: { form: "plain", plain_because: "several edits", duration: 12, segments: 0, tracks: [] },
};
const TEXTS = { ".m3u8": "#EXTM3U", ".s0.vtt": "WEBVTT", ".sprite.vtt": "WEBVTT" };

const TAMPERED: Readonly<Record<string, readonly [string, string | null]>> = {
  "a playlist is missing": [".m3u8", null],
  "subtitles are longer": [".s0.vtt", "WEBVTT and more"],
  "the sprite index is endless": [".sprite.vtt", "x".repeat(100_000)],
  "the manifest is missing": [".manifest", null],
  "the manifest has 10 MB": [".manifest", "x".repeat(10_000_000)],
  "the manifest is no JSON": [".manifest", "#EXTM3U"],
  "the manifest is another archive's": [".manifest", "sealed"],
};

Deno.test("verify, repair: a sidecar differs → found, made right from another copy", async (t) => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1);
  const folder = targets[1]!;
  await fixture.archive(targets);
  await fixture.database.admin`update public.video_store set media = ${JSON.stringify(MEDIA)}::text::jsonb`;
  const beside = await fixture.withManifest(TEXTS);
  for (const target of targets) await fixture.putBeside(target, beside);
  assert.match((await runTask(fixture, "verify")).text, /2 sound, 0 incomplete/);
  const foreign = await sealText("{}", fixture.tools(targets).manifestKeys[0]!);
  for (const [title, [ending, text]] of Object.entries(TAMPERED)) {
    await t.step(title, async () => {
      await tamper(fixture, ending, text === "sealed" ? foreign : text);
      const verified = await runTask(fixture, "verify");
      assert.equal(verified.code, 1);
      assert.match(verified.text, /folder:folder .*: incomplete/);
      assert.match(verified.text, /1 sound, 1 incomplete/);
      assert.deepEqual(await fixture.states(), { "folder:folder": "verified", "hub:alice": "verified" }, "served on");
      const repaired = await runTask(fixture, "repair");
      assert.deepEqual([repaired.code, /sidecars added/.test(repaired.text)], [0, true]);
      assert.deepEqual(await textsBeside(folder), beside);
      assert.equal((await runTask(fixture, "verify")).code, 0);
    });
  }
});
