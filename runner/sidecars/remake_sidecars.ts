/**
 * Makes the sidecars that no copy of an archive has any more, from its file: playlists and subtitles if the writer gives the same file
 * again, pictures, and a manifest that lists what is there now.
 */
import type { Manifest } from "../../core/manifest/manifest.ts";
import type { ManifestKey } from "../../core/manifest/sealing.ts";
import type { Sidecar } from "../targets/target.ts";
import { type StagedFile, stageSmall } from "../transfer/staged_file.ts";
import type { Rewrite } from "./rewrite.ts";
import { picturesOf, sealedManifest } from "./make_sidecars.ts";
import type { ArchiveDescription } from "./manifest_of.ts";
import { MANIFEST_ENDING } from "../../core/presentation.ts";
import { PICTURE_ENDINGS } from "./stored_sidecars.ts";

export interface RemakeOptions {
  /** What the manifest will state: the one that was found, or the archive's row. */
  readonly archive: Manifest | ArchiveDescription;
  /** Sidecars that were found, without the manifest. */
  readonly found: readonly Sidecar[];
  readonly lacking: readonly string[];
  readonly dir: string;
  readonly signal: AbortSignal;
  readonly pictures: boolean;
  readonly key: ManifestKey;
  readonly rewrite: Rewrite;
}

export async function remakeSidecars(file: StagedFile, options: RemakeOptions): Promise<readonly Sidecar[]> {
  const { archive, dir, found, lacking, signal } = options;
  const made: Sidecar[] = [];
  if (lacking.some((ending) => !PICTURE_ENDINGS.includes(ending))) made.push(...await textsOf(file, options));
  if (lacking.some((ending) => PICTURE_ENDINGS.includes(ending))) {
    const about = "file_key" in archive
      ? { fileKey: archive.file_key, durationSeconds: archive.duration, hasVideo: archive.width !== null }
      : { ...archive, hasVideo: archive.width !== null };
    made.push(...await picturesOf({ ...about, path: file.path }, { ...options, onFailure: () => {} }));
  }
  // What was made together belongs together: a sheet and its index.
  const all = new Map(
    [...found, ...made].filter(({ ending }) => ending !== MANIFEST_ENDING).map((one) => [one.ending, one]),
  );
  signal.throwIfAborted();
  const sidecars = [...all.values()];
  return [...sidecars, await sealedManifest(archive, { ...options, dir, sidecars })];
}

/** Playlists name byte ranges, so they are those of this file only if the writer gives the same bytes again. */
async function textsOf(file: StagedFile, { archive, dir, rewrite, signal }: RemakeOptions): Promise<Sidecar[]> {
  const output = `${dir}/again.mp4`;
  try {
    const fileKey = "file_key" in archive ? archive.file_key : archive.fileKey;
    const written = await rewrite(file.path, { output, fileKey, signal });
    if (written.kind !== "done" || written.file.sha256 !== file.sha256) return [];
    return await Promise.all([...written.texts].map(async ([ending, text]) => {
      const path = `${dir}/made${ending}`;
      await Deno.writeTextFile(path, text);
      return { ending, file: await stageSmall(path) };
    }));
  } finally {
    await Deno.remove(output).catch(() => {}); // it was not written
  }
}
