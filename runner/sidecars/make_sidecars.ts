/**
 * Makes what is stored beside an archive: playlists and subtitles of its file, pictures, and the manifest that lists them.
 * Example: `beside: sidecarMaker(archive, { dir, signal, pictures: true, key, onFailure })`, made once for all targets.
 */
import { KeepstreamError } from "../../core/errors.ts";
import { type Manifest, sealManifest } from "../../core/manifest/manifest.ts";
import type { ManifestKey } from "../../core/manifest/sealing.ts";
import { redactText } from "../../core/redact.ts";
import { makeExtras, PICTURE_FILES } from "../media/extras.ts";
import type { Sidecar } from "../targets/target.ts";
import { stageSmall } from "../transfer/staged_file.ts";
import { isDiskError } from "../work_dir/disk_budget.ts";
import { type ArchiveDescription, manifestOf } from "./manifest_of.ts";

/** A picture is not worth a longer wait before the commit. */
const PICTURES_TIMEOUT_MS = 300_000;

export interface MakingOptions {
  /** Of the archive's file; sidecars are written there. */
  readonly dir: string;
  readonly signal: AbortSignal;
  readonly pictures: boolean;
  readonly key: ManifestKey;
  /** A picture could not be made. */
  readonly onFailure: (message: string) => void;
}

export interface ArchiveToDescribe {
  readonly path: string;
  /** By ending. */
  readonly texts: ReadonlyMap<string, string>;
  /** Called when everything else is made. */
  readonly describe: () => Promise<ArchiveDescription>;
  readonly fileKey: string;
  readonly durationSeconds: number;
  readonly hasVideo: boolean;
}

export function sidecarMaker(archive: ArchiveToDescribe, options: MakingOptions): () => Promise<readonly Sidecar[]> {
  let making: Promise<readonly Sidecar[]> | null = null;
  return () => making ??= makeSidecars(archive, options);
}

async function makeSidecars(archive: ArchiveToDescribe, options: MakingOptions): Promise<readonly Sidecar[]> {
  try {
    return await makeAll(archive, options);
  } catch (error) {
    // The work directory is full: no storage target has failed.
    throw isDiskError(error) ? new KeepstreamError("disk_full", error.message, { cause: error }) : error;
  }
}

async function makeAll(archive: ArchiveToDescribe, options: MakingOptions): Promise<readonly Sidecar[]> {
  const texts = await Promise.all([...archive.texts].map((each) => stageText(each, options.dir)));
  const sidecars = [...texts, ...await picturesOf(archive, options)];
  return [...sidecars, await sealedManifest(await archive.describe(), { ...options, sidecars })];
}

export async function sealedManifest(
  archive: ArchiveDescription | Manifest,
  { dir, key, sidecars }: { dir: string; key: ManifestKey; sidecars: readonly Sidecar[] },
): Promise<Sidecar> {
  const manifest = manifestOf(archive, sidecars);
  return await stageText([".manifest", await sealManifest(manifest, key)], dir);
}

/** Best-effort step: a failure costs the pictures, not the archive. */
export async function picturesOf(
  { path, ...archive }: Pick<ArchiveToDescribe, "path" | "fileKey" | "durationSeconds" | "hasVideo">,
  { pictures, onFailure, ...options }: Omit<MakingOptions, "key">,
): Promise<Sidecar[]> {
  if (!pictures || !archive.hasVideo) return [];
  try {
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(PICTURES_TIMEOUT_MS)]);
    const made = await makeExtras(path, { ...options, ...archive, signal });
    return await Promise.all(made.map(async ({ ending, path }) => ({ ending, file: await stageSmall(path) })));
  } catch (error) {
    // On a full disk, playlists and manifest need the space of half a picture.
    for (const name of PICTURE_FILES) await Deno.remove(`${options.dir}/${name}`).catch(() => {}); // it was not made
    if (!options.signal.aborted) onFailure(redactText(error instanceof Error ? error.message : String(error)));
    return [];
  }
}

async function stageText([ending, text]: readonly [string, string], dir: string): Promise<Sidecar> {
  const path = `${dir}/made${ending}`;
  await Deno.writeTextFile(path, text);
  return { ending, file: await stageSmall(path) };
}
