import assert from "node:assert/strict";
import type { Presentation } from "../../core/presentation.ts";
import { mediaReportOf } from "../media/media_report_of.ts";
import type { Job } from "../queue/job.ts";
import { openJobDir } from "../work_dir/work_dir.ts";
import { keepFinal, keptFinal } from "./kept_final.ts";
import type { FetchedSource } from "./source_tools.ts";

const presentation: Presentation = { form: "hybrid", plain_because: null, duration: 1, segments: 1, tracks: [] };
const job: Job = {
  ...{ id: crypto.randomUUID(), malId: 1, episode: 1, provider: "catalogue", resolution: "720p" },
  ...{ leaseToken: crypto.randomUUID(), attempt: 1, maxAttempts: 8, candidates: [] },
};
const fetched = (path: string): FetchedSource => ({
  final: { path, sizeBytes: 5, sha256: "ab".repeat(32) },
  durationSeconds: 1,
  media: { ...mediaReportOf([]), presentation },
  presentation,
  heights: [],
  texts: new Map([[".m3u8", "#EXTM3U\n"], [".s0.vtt", "WEBVTT\n"]]),
});

Deno.test("keptFinal: an interrupted job → its file with the texts beside it", async () => {
  const root = await Deno.makeTempDir();
  await using dir = await openJobDir(root, crypto.randomUUID());
  dir.discard();
  const path = `${dir.path}/final.mp4`;
  await Deno.writeTextFile(path, "video");
  await keepFinal(dir, { source: "a", fetched: fetched(path), isHeight: false });
  assert.deepEqual(await keptFinal(dir, "a", job), fetched(path));
  await Deno.remove(`${dir.path}/final.s0.vtt`);
  assert.equal(await keptFinal(dir, "a", job), null);
});

Deno.test("keptFinal: a name that is not a sidecar's in the state → not read", async () => {
  const root = await Deno.makeTempDir();
  await using dir = await openJobDir(root, crypto.randomUUID());
  dir.discard();
  await Deno.writeTextFile(`${dir.path}/final.mp4`, "video");
  const { final, durationSeconds, media } = fetched("");
  await dir.writeState({ source: "a", final: { ...final, durationSeconds, media, texts: ["/../../secret"] } });
  assert.equal(await keptFinal(dir, "a", job), null);
});
