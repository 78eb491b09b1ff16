/**
 * Reads the sidecars of an archive from its copies, by its manifest: what differs from it is not used, and a manifest of another file is
 * refused. Archives of earlier releases have no manifest; only their pictures are read.
 * Example: `await readSidecars([{ target: alice, location }], { archive, keys, dir, signal })`.
 */
import type { ArchiveLocation } from "../../core/archive_location.ts";
import { assertDescribes, endingOf, type Manifest, openManifest } from "../../core/manifest/manifest.ts";
import { type ManifestKey, MAX_MANIFEST_BYTES } from "../../core/manifest/sealing.ts";
import { MANIFEST_ENDING } from "../../core/presentation.ts";
import { sidecarLocation } from "../targets/sidecars.ts";
import type { Sidecar, StorageTarget } from "../targets/target.ts";
import { stageSmall } from "../transfer/staged_file.ts";
import { StorageError } from "../transfer/storage_error.ts";

/** Of archives without a manifest, which states the size of each. */
const MAX_PICTURE_BYTES = 4 * 1024 * 1024;
export const PICTURE_ENDINGS: readonly string[] = [".poster.jpg", ".sprite.jpg", ".sprite.vtt"];

export interface Place {
  readonly target: StorageTarget;
  readonly location: ArchiveLocation;
}

export interface DescribedArchive {
  readonly fileKey: string;
  readonly sha256: string | null;
  readonly sizeBytes: number | null;
}

export interface ReadOptions {
  readonly archive: DescribedArchive;
  readonly keys: readonly ManifestKey[];
  readonly dir: string;
  readonly signal?: AbortSignal;
}

export interface ReadSidecars {
  /** null if no place has one that describes the archive. */
  readonly manifest: Manifest | null;
  readonly sidecars: readonly Sidecar[];
  /** Endings that the manifest lists and that no place has with the right bytes. */
  readonly lacking: readonly string[];
}

/** Best-effort step: what cannot be read is left out. */
export async function readSidecars(places: readonly Place[], options: ReadOptions): Promise<ReadSidecars> {
  for (const place of places) {
    const manifest = await readManifest(place, options).catch(() => null);
    if (manifest === null) continue;
    const sidecars = [manifest.file];
    const lacking: string[] = [];
    for (const listed of manifest.value.sidecars) {
      const ending = endingOf(manifest.value, listed);
      const accept = (file: Sidecar["file"]) => isListed(file, listed);
      const found = await readFrom(places, ending, { ...options, maxBytes: listed.size, accept });
      if (found) sidecars.push(found);
      else lacking.push(ending);
    }
    return { manifest: manifest.value, sidecars, lacking };
  }
  const pictures: Sidecar[] = [];
  for (const ending of PICTURE_ENDINGS) {
    const found = await readFrom(places, ending, {
      ...options,
      maxBytes: MAX_PICTURE_BYTES,
      accept: ({ sizeBytes }) => sizeBytes <= MAX_PICTURE_BYTES,
    });
    if (found) pictures.push(found);
  }
  return { manifest: null, sidecars: pictures, lacking: [] };
}

/** What is wrong with the sidecars of a copy; null if they are those that its manifest states. Throws if the copy cannot be read. */
export async function sidecarProblem(
  place: Place,
  { manifestNeeded, ...options }: ReadOptions & { manifestNeeded: () => Promise<boolean> },
): Promise<string | null> {
  let manifest: { value: Manifest } | null;
  try {
    manifest = await readManifest(place, options);
  } catch (error) {
    if (error instanceof StorageError) throw error;
    return error instanceof Error ? error.message : String(error);
  }
  if (manifest === null) return await manifestNeeded() ? `${MANIFEST_ENDING} is missing` : null;
  for (const listed of manifest.value.sidecars) {
    const ending = endingOf(manifest.value, listed);
    const stored = await readOne(place, ending, { ...options, maxBytes: listed.size });
    if (stored === null) return `${ending} is missing`;
    if (!isListed(stored.file, listed)) return `${ending} has other bytes than its manifest states`;
  }
  return null;
}

/** null if there is none. Throws a KeepstreamError if it is refused. */
async function readManifest(place: Place, options: ReadOptions): Promise<{ file: Sidecar; value: Manifest } | null> {
  const { archive, keys } = options;
  const file = await readOne(place, MANIFEST_ENDING, { ...options, maxBytes: MAX_MANIFEST_BYTES });
  if (file === null) return null;
  const value = await openManifest(await Deno.readTextFile(file.file.path), { keys, fileKey: archive.fileKey });
  if (archive.sha256 !== null && archive.sizeBytes !== null) {
    assertDescribes(value, { sha256: archive.sha256, sizeBytes: archive.sizeBytes });
  }
  return { file, value };
}

async function readFrom(
  places: readonly Place[],
  ending: string,
  { accept, ...options }: ReadOptions & { maxBytes: number; accept: (file: Sidecar["file"]) => boolean },
): Promise<Sidecar | null> {
  for (const place of places) {
    options.signal?.throwIfAborted();
    const found = await readOne(place, ending, options).catch(() => null);
    if (found && accept(found.file)) return found;
  }
  return null;
}

/** null if it is missing. What is longer than `maxBytes` is cut, and then not what a manifest states. */
async function readOne(
  { target, location }: Place,
  ending: string,
  { dir, signal, maxBytes }: { dir: string; signal?: AbortSignal; maxBytes: number },
): Promise<Sidecar | null> {
  const path = `${dir}/stored${ending}`;
  try {
    await writeStart(path, await target.read(sidecarLocation(location, ending), { signal }), maxBytes);
    return { ending, file: await stageSmall(path) };
  } catch (error) {
    if (error instanceof StorageError && error.problem === "missing") return null;
    throw error;
  }
}

async function writeStart(path: string, body: ReadableStream<Uint8Array>, maxBytes: number): Promise<void> {
  using file = await Deno.open(path, { create: true, truncate: true, write: true });
  let bytes = 0;
  for await (const chunk of body) {
    for (let written = 0; written < chunk.byteLength;) written += await file.write(chunk.subarray(written));
    bytes += chunk.byteLength;
    if (bytes > maxBytes) break;
  }
}

function isListed(file: Sidecar["file"], listed: { size: number; sha256: string }): boolean {
  return file.sizeBytes === listed.size && file.sha256 === listed.sha256;
}
