import assert from "node:assert/strict";
import { openManifest, sealManifest } from "../../core/manifest/manifest.ts";
import { manifestKey } from "../../core/manifest/sealing.ts";
import type { PresentationTrack } from "../../core/presentation.ts";
import { type ArchiveDescription, manifestOf } from "./manifest_of.ts";

const FILE_KEY = "0123456789abcdef0123456789abcdef";
const LONG = "\u0001漢".repeat(3000);

const TRACK: PresentationTrack = {
  ...{ kind: "subtitles", playlist: "s63", codec: LONG, language: LONG, label: LONG, default: false, forced: false },
  ...{ channels: null, width: null, height: null, frame_rate: null, bandwidth: null, average_bandwidth: null },
};

/** Everything that comes from a source is as long and strange as it may be. */
const HOSTILE: ArchiveDescription = {
  ...{ malId: 1, episode: 1, provider: "animasu", resolution: null, fileKey: FILE_KEY },
  file: { sha256: "ab".repeat(32), sizeBytes: 1 },
  ...{ durationSeconds: 0.04, width: null, height: null },
  presentation: {
    ...{ form: "hybrid", plain_because: LONG, duration: 1, segments: 1 },
    tracks: Array.from({ length: 500 }, () => TRACK),
  },
  chapters: Array.from({ length: 2000 }, (_, i) => ({ seconds: i - 10, title: LONG, kind: LONG })),
  ...{
    title: LONG,
    rights: LONG,
    kind: LONG,
    page: `https://user:pass@videos.test/${"x".repeat(9000)}?token=secret#part`,
  },
  archivedAt: new Date(0),
};

Deno.test("manifestOf: long and strange texts → sealed within its limits, opened", async () => {
  const key = await manifestKey("a salt for tests");
  const sidecar = { ending: ".m3u8", file: { path: "x", sizeBytes: 5, sha256: "cd".repeat(32) } };
  const text = await sealManifest(manifestOf(HOSTILE, [sidecar]), key);
  const manifest = await openManifest(text, { keys: [key], fileKey: FILE_KEY });
  assert.deepEqual(manifest.sidecars, [{ name: `${FILE_KEY}.m3u8`, size: 5, sha256: "cd".repeat(32) }]);
  assert.equal(manifest.chapters.length, 500);
  assert.equal(manifest.chapters[0]?.seconds, 0);
  assert.ok(manifest.source.page?.startsWith("https://videos.test/x"));
  assert.doesNotMatch(JSON.stringify(manifest), /secret|pass@/);
  const again = manifestOf(manifest, []);
  assert.deepEqual({ ...again, sidecars: [] }, { ...manifest, sidecars: [] }, "what it states is kept");
});
