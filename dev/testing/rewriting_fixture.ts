/**
 * How maintenance rewrites the archives of a storage fixture, which are random bytes: it replaces the writer and gives another file with
 * its playlists, the same for the same input, and the same file for one that it has written.
 */
import { createHash } from "node:crypto";
import type { MediaReport } from "../../core/media_report.ts";
import type { Presentation } from "../../core/presentation.ts";
import type { Rewrite } from "../../runner/sidecars/rewrite.ts";

/** Of an archive. */
export const SIZE = 600_000;
export const SALT = "a salt for tests";

const HYBRID: Presentation = { form: "hybrid", plain_because: null, duration: 12, segments: 2, tracks: [] };
const MEDIA: MediaReport = {
  width: 1280,
  height: 720,
  tracks: [{ type: "video", codec: "h264", language: null, name: null }],
  variant: null,
  converted: [],
  left_out: [],
  presentation: null,
};

const rewrite: Rewrite = async (input, { output, fileKey }) => {
  const bytes = await Deno.readFile(input);
  const texts = new Map([[".m3u8", `#EXTM3U\n${fileKey}.v.m3u8\n`], [".v.m3u8", `#EXTM3U\n${fileKey}.mp4\n`]]);
  if (bytes[24] === 0 && bytes.length === SIZE + 1) {
    const file = { path: input, sha256: createHash("sha256").update(bytes).digest("hex"), sizeBytes: bytes.length };
    return { kind: "done", file, presentation: HYBRID, texts };
  }
  const turned = new Uint8Array(bytes.length + 1);
  turned.set(bytes.subarray(0, 24));
  turned.set(bytes.subarray(24).reverse(), 25);
  await Deno.writeFile(output, turned);
  const sha256 = createHash("sha256").update(turned).digest("hex");
  return { kind: "done", file: { path: output, sha256, sizeBytes: turned.length }, presentation: HYBRID, texts };
};

export const rewriting = {
  rewrite,
  probe: () => Promise.resolve({ durationSeconds: 12, media: MEDIA }),
  pictures: false,
  mayRewrite: true,
  fileSalt: SALT,
};
