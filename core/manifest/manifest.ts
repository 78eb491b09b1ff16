/**
 * What a manifest states: the archive, its files with their hashes, and what is needed to record it again. The content of the sealed part
 * of `{file_key}.manifest`; the published schema is docs/reference/manifest.schema.json.
 * Example: `await openManifest(text, { keys, fileKey })`.
 */
// deno-lint-ignore directories/imports -- the Worker reads no manifests
import { z } from "zod";
import { KeepstreamError } from "../errors.ts";
import { SIDECAR_ENDING } from "../presentation.ts";
import { type ManifestKey, refused, sealText, unsealText } from "./sealing.ts";

export const MAX_SIDECARS = 256;
export const MAX_SIDECAR_BYTES = 16 * 1024 * 1024;

const count = z.int().nonnegative();
const text = (length: number) => z.string().max(length);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const seconds = z.number().nonnegative();
const bitrate = z.number().nonnegative().nullable();

const fileSchema = z.object({ name: text(80), size: count, sha256 });

const trackSchema = z.object({
  kind: z.enum(["video", "audio", "subtitles"]),
  playlist: z.string().regex(/^(v|a\d{1,2}|s\d{1,2})$/).nullable(),
  codec: text(80).nullable(),
  language: text(80).nullable(),
  label: text(200),
  default: z.boolean(),
  forced: z.boolean(),
  channels: count.nullable(),
  width: count.nullable(),
  height: count.nullable(),
  frame_rate: z.number().nonnegative().nullable(),
  bandwidth: bitrate,
  average_bandwidth: bitrate,
});

export const presentationSchema = z.object({
  form: z.enum(["hybrid", "plain"]),
  plain_because: text(500).nullable(),
  duration: seconds,
  segments: count,
  tracks: z.array(trackSchema).max(120),
});

export const manifestSchema = z.object({
  mal_id: z.int().positive(),
  episode: z.int().positive(),
  provider: text(20).min(1),
  resolution: text(10).nullable(),
  file_key: z.string().regex(/^[0-9a-f]{16,64}$/),
  file: fileSchema.describe("The archive: `{file_key}.mp4`."),
  sidecars: z.array(fileSchema).max(MAX_SIDECARS).describe("All other files of the key but the manifest."),
  duration: seconds.describe("Seconds."),
  width: count.nullable(),
  height: count.nullable(),
  presentation: presentationSchema.nullable().describe(
    "Tracks, and the form of the file; null if it was not determined.",
  ),
  chapters: z.array(z.object({ seconds, title: text(300), kind: text(20).nullable() })).max(500),
  title: text(300).nullable().describe("Of the episode, where it is known."),
  source: z.object({ page: text(2000).nullable(), kind: text(40).nullable() }).describe(
    "The page that named the video, without its query, and the kind of media.",
  ),
  rights: text(2000).nullable().describe("Archiving rights as they were declared."),
  archived_at: z.iso.datetime(),
  keepstream: text(40).describe("The release that wrote it."),
});

export type Manifest = z.output<typeof manifestSchema>;
export type ManifestFile = z.output<typeof fileSchema>;

export async function sealManifest(manifest: Manifest, key: ManifestKey): Promise<string> {
  return await sealText(JSON.stringify(manifestSchema.parse(manifest)), key);
}

/** Opens and checks it. `fileKey`: of the archive beside which it is stored. @throws {KeepstreamError} */
export async function openManifest(
  envelope: string,
  { keys, fileKey }: { keys: readonly ManifestKey[]; fileKey: string },
): Promise<Manifest> {
  const content = await unsealText(envelope, keys);
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (cause) {
    throw refused("its content is not JSON", cause);
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw refused(`${path.join(".") || "its content"}: ${message}`);
  }
  const manifest = parsed.data;
  if (manifest.file_key !== fileKey) throw refused("it describes another archive");
  checkNames(manifest);
  return manifest;
}

/** Throws unless the manifest describes this file: its sidecars are useless for another one. */
export function assertDescribes(manifest: Manifest, file: { sha256: string; sizeBytes: number }): void {
  if (manifest.file.sha256 === file.sha256 && manifest.file.size === file.sizeBytes) return;
  throw new KeepstreamError(
    "invalid_input",
    "the manifest is refused: the file beside it has other bytes than it states",
  );
}

/** The ending of a sidecar: `.a0.m3u8`. */
export function endingOf(manifest: Pick<Manifest, "file_key">, { name }: ManifestFile): string {
  return name.slice(manifest.file_key.length);
}

/** Names become paths. */
function checkNames(manifest: Manifest): void {
  if (manifest.file.name !== `${manifest.file_key}.mp4`) throw refused("the name of the file is not that of its key");
  const seen = new Set<string>();
  for (const file of manifest.sidecars) {
    const ending = endingOf(manifest, file);
    const isOwn = file.name.startsWith(manifest.file_key) && SIDECAR_ENDING.test(ending) && ending !== ".manifest";
    if (!isOwn || seen.has(ending)) throw refused("the name of a sidecar is not one of its key");
    if (file.size > MAX_SIDECAR_BYTES) throw refused(`${ending} is larger than a sidecar may be`);
    seen.add(ending);
  }
}
