// Sidecars that no other copy has: made again from the file, or reported.
import assert from "node:assert/strict";
import { runTask, tamper, textsBeside } from "../../dev/testing/sidecars_fixture.ts";
import { createStorageFixture, SIZE } from "../../dev/testing/storage_fixture.ts";
import { assertConsistent, storeRow } from "../../dev/testing/stored_archive.ts";
import { upgradeArchives } from "./upgrade.ts";

const TEXTS = { ".m3u8": "#EXTM3U", ".s0.vtt": "WEBVTT", ".sprite.vtt": "WEBVTT" };

Deno.test("repair: no copy has the playlists → made again from the file", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1).slice(1);
  await fixture.archive(targets);
  await upgradeArchives({}, fixture.tools(targets));
  const { file_key } = await storeRow(fixture);
  const before = await textsBeside(targets[0]!, file_key);
  assert.deepEqual(Object.keys(before).sort(), [".m3u8", ".manifest", ".v.m3u8"]);
  await tamper(fixture, ".v.m3u8", null, file_key);
  assert.match((await runTask(fixture, "verify", targets)).text, /1 incomplete/);
  assert.equal((await runTask(fixture, "repair", targets)).code, 0);
  assert.deepEqual(await textsBeside(targets[0]!, file_key), before);
  for (const ending of Object.keys(before)) await tamper(fixture, ending, null, file_key);
  assert.match((await runTask(fixture, "verify", targets)).text, /1 incomplete/);
  assert.equal((await runTask(fixture, "repair", targets)).code, 0);
  const { ".manifest": _, ...texts } = await textsBeside(targets[0]!, file_key);
  assert.deepEqual(texts, { ".m3u8": before[".m3u8"], ".v.m3u8": before[".v.m3u8"] });
  assert.equal((await runTask(fixture, "verify", targets)).code, 0, "and the manifest from the row");
  await assertConsistent(fixture, targets);
});

Deno.test("repair: subtitles are nowhere, the writer differs → reported, kept as it is", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1).slice(1);
  await fixture.archive(targets);
  const beside = await fixture.withManifest(TEXTS);
  await fixture.putBeside(targets[0]!, beside);
  await tamper(fixture, ".s0.vtt", null);
  assert.match((await runTask(fixture, "verify", targets)).text, /1 incomplete/);
  const repaired = await runTask(fixture, "repair", targets);
  assert.equal(repaired.code, 1);
  assert.match(repaired.text, /no copy has \.s0\.vtt, and it cannot be made again from the file/);
  const { ".s0.vtt": _, ...kept } = beside;
  assert.deepEqual(await textsBeside(targets[0]!), kept);
  assert.deepEqual(await fixture.states(), { "folder:folder": "verified" });
});

Deno.test("repair: the Hub copy lacks a playlist → a commit, which the row names", async () => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(1);
  const [alice] = targets;
  await fixture.archive(targets);
  const beside = await fixture.withManifest(TEXTS);
  await fixture.putBeside(targets[1]!, beside);
  await fixture.database
    .serviceRole`select public.promote_replica(id) from public.video_replicas where target = 'hub:alice'`;
  const { ".m3u8": _, ...some } = beside;
  await fixture.putBeside(alice!, some);
  assert.match((await runTask(fixture, "verify")).text, /1 incomplete/);
  const sent = fixture.test.uploadedBytes();
  assert.equal((await runTask(fixture, "repair")).code, 0);
  assert.ok(fixture.test.uploadedBytes() - sent < SIZE, "the video was not sent again");
  const [copy] = await fixture.database.admin`select r.direct_url, s.hf_direct_url from public.video_replicas r
    join public.video_store s on s.id = r.store_id where r.target = 'hub:alice'`;
  const response = await fetch(copy!.direct_url.replace(".mp4", ".m3u8"), {
    headers: { authorization: "Bearer hf_aliceToken" },
  });
  assert.equal(await response.text(), "#EXTM3U");
  assert.equal(copy!.hf_direct_url, copy!.direct_url, "the primary's link, too");
});
