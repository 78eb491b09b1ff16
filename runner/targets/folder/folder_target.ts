/**
 * A folder of this machine, or a disk mounted into it, as a storage target.
 * Example: /srv/archive/archive-55825/55825/ep1/<key>.mp4, and its hash in <key>.mp4.sha256.
 */

import { createHash } from "node:crypto";
import { type ArchiveLocation, archiveLocation } from "../../../core/archive_location.ts";
import { KeepstreamError } from "../../../core/errors.ts";
import { assertUnchanged, type StagedFile } from "../../transfer/staged_file.ts";
import { StorageError } from "../../transfer/storage_error.ts";
import { MARKER_NAME, readMarkerText } from "../marker.ts";
import { sidecarEnding, sidecarLocation, startBeside } from "../sidecars.ts";
import {
  assertInside,
  directoryOf,
  type FoundCopy,
  type PutOptions,
  type StorageTarget,
  type StoredCopy,
} from "../target.ts";

export interface FolderTargetOptions {
  readonly root: string;
  /** Its name in rows; without a slash. */
  readonly folderName: string;
  /** Base URL under which `folder_files.ts` serves the folder, without a trailing slash. */
  readonly baseUrl: string;
  readonly repoPrefix: string;
  readonly account: number;
}

export function createFolderTarget(options: FolderTargetOptions): StorageTarget {
  const { folderName } = options;
  const name = `folder:${folderName}`;
  const inside = (location: ArchiveLocation) => {
    assertInside(location, folderName);
    return `${location.repo.slice(folderName.length + 1)}/${location.path}`;
  };
  const pathOf = (location: ArchiveLocation) => `${options.root}/${inside(location)}`;
  const markerPath = `${options.root}/${MARKER_NAME}`;

  const copyOf = (
    file: Pick<StagedFile, "sha256" | "sizeBytes">,
    location: ArchiveLocation,
    alreadyThere: boolean,
  ): StoredCopy => ({
    target: name,
    account: options.account,
    ...location,
    commitOid: null,
    sha256: file.sha256,
    sizeBytes: file.sizeBytes,
    directUrl: `${options.baseUrl}/${inside(location)}`,
    alreadyThere,
  });

  async function stat(location: ArchiveLocation): Promise<FoundCopy | null> {
    try {
      const { size } = await Deno.stat(pathOf(location));
      const sha256 = await Deno.readTextFile(`${pathOf(location)}.sha256`).catch(() => null); // unknown
      return { sha256: sha256?.trim() ?? null, sizeBytes: size, commitOid: null };
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw folderError(name, error);
    }
  }

  const target: StorageTarget = {
    name,
    kind: "folder",
    account: options.account,
    locationOf: (archive) => archiveLocation({ username: folderName, prefix: options.repoPrefix, ...archive }),

    async put(file, location, put) {
      const making = startBeside(put);
      const holds = async () => isCopyOf(await stat(location), file);
      const path = pathOf(location);
      const draft = `${path}.${file.sha256.slice(0, 16)}.part`;
      const addSidecars = async (put: PutOptions) => {
        let added = 0;
        for (const { ending, file } of await making) {
          const there = sidecarLocation(location, ending);
          if (isCopyOf(await stat(there), file)) continue;
          if (added++ === 0) await put.beforeCommit?.();
          await storeSmall(file, pathOf(there));
        }
        return added;
      };
      try {
        if (await holds()) {
          put.onProgress?.(file.sizeBytes);
          return copyOf(file, location, await addSidecars(put) === 0);
        }
        using permit = await put.semaphore.acquire(put.signal);
        await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
        using target = await Deno.open(draft, { create: true, read: true, write: true });
        await target.lock(true); // another runner may copy the same file
        if (await holds()) return copyOf(file, location, await addSidecars(put) === 0);
        await copyInto(target, { file, buffer: permit.buffer, ...put });
        await assertUnchanged(file);
        await addSidecars(put);
        await put.beforeCommit?.();
        await reveal(draft, path, file.sha256);
      } catch (error) {
        throw put.signal?.aborted ? error : folderError(name, error);
      }
      return copyOf(file, location, false);
    },

    find: (location) => stat(location),

    copyAt: (location, found) => copyOf(found, location, true),

    async read(location) {
      try {
        return (await Deno.open(pathOf(location))).readable;
      } catch (error) {
        throw folderError(name, error);
      }
    },

    async sidecarsOf(location) {
      const path = pathOf(location);
      const directory = location.path.slice(0, location.path.lastIndexOf("/") + 1);
      const endings: string[] = [];
      try {
        for await (const entry of Deno.readDir(path.slice(0, path.lastIndexOf("/")))) {
          const ending = sidecarEnding(location, directory + entry.name);
          if (ending !== null) endings.push(ending);
        }
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw folderError(name, error);
      }
      return endings;
    },

    async remove(location) {
      let removed: "removed" | "absent" = "absent";
      const sidecars = (await target.sidecarsOf(location)).map((ending) => sidecarLocation(location, ending));
      for (const place of [...sidecars, location]) {
        try {
          await Deno.remove(`${pathOf(place)}.sha256`).catch(() => {}); // manually added files have none
          await Deno.remove(pathOf(place));
          removed = "removed";
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw folderError(name, error);
        }
      }
      return removed;
    },

    async removeTitle(title) {
      const { repo, directory } = directoryOf(target, title);
      const path = `${options.root}/${repo.slice(folderName.length + 1)}/${directory}`;
      try {
        const files = await filesBelow(path);
        await Deno.remove(path, { recursive: true });
        return files.filter((file) => !/\.(sha256|part)$/.test(file)).length;
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return 0;
        throw folderError(name, error);
      }
    },

    async readMarker() {
      try {
        return await readMarkerText((await Deno.open(markerPath)).readable);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw folderError(name, error);
        if ((await Deno.stat(options.root).catch(() => null))?.isDirectory) return null;
        throw new StorageError(
          "identity",
          `${name}: the folder ${options.root} does not exist: mount it, or create a new one`,
          {
            code: "storage_unidentified",
          },
        );
      }
    },

    async writeMarker(text) {
      const draft = `${markerPath}.${crypto.randomUUID()}`;
      try {
        await Deno.writeTextFile(draft, text, { createNew: true });
        await Deno.rename(draft, markerPath);
      } catch (error) {
        await Deno.remove(draft).catch(() => {}); // it was not created
        throw folderError(name, error);
      }
    },

    async probe() {
      try {
        const draft = `${options.root}/.probe`;
        await Deno.writeTextFile(draft, "writable\n");
        await Deno.remove(draft);
        let usedBytes = 0;
        for await (const { name: repo, isDirectory } of Deno.readDir(options.root)) {
          // The root of a disk contains other directories, such as lost+found, which only root can read.
          if (!isDirectory || !/-\d+$/.test(repo)) continue;
          for (const file of await filesBelow(`${options.root}/${repo}`)) usedBytes += await sizeOf(file);
        }
        return { usedBytes };
      } catch (error) {
        throw folderError(name, error);
      }
    },
  };
  return target;
}

/** Puts a complete file and its hash in place. */
async function reveal(draft: string, path: string, sha256: string): Promise<void> {
  await Deno.writeTextFile(`${draft}.sha256`, `${sha256}\n`); // before the rename, so that a full disk fails here
  await Deno.remove(`${path}.sha256`).catch(() => {}); // in this order, a hash is never next to other bytes
  await Deno.rename(draft, path);
  await Deno.rename(`${draft}.sha256`, `${path}.sha256`);
}

async function storeSmall(file: StagedFile, path: string): Promise<void> {
  const draft = `${path}.${crypto.randomUUID()}.part`;
  try {
    await Deno.copyFile(file.path, draft);
    await assertUnchanged(file);
    await reveal(draft, path, file.sha256);
  } catch (error) {
    await Deno.remove(draft).catch(() => {}); // it was not created, or renamed
    throw error;
  }
}

function isCopyOf(found: FoundCopy | null, file: StagedFile): boolean {
  return found?.sha256 === file.sha256 && found.sizeBytes === file.sizeBytes;
}

interface Copying {
  readonly file: StagedFile;
  readonly buffer: Uint8Array;
  readonly signal?: AbortSignal;
  readonly onProgress?: (bytes: number) => void;
}

/** Resumes a partial copy of a killed runner. Its bytes are read back, because how it ended is unknown. */
async function copyInto(target: Deno.FsFile, { file, buffer, signal, onProgress }: Copying): Promise<void> {
  const left = (await target.stat()).size;
  const start = left <= file.sizeBytes ? left : 0;
  using source = await Deno.open(file.path);
  await source.seek(start, Deno.SeekMode.Start);
  await target.seek(start, Deno.SeekMode.Start);
  let done = start;
  for (let count = await source.read(buffer); count !== null; count = await source.read(buffer)) {
    signal?.throwIfAborted();
    for (let written = 0; written < count;) written += await target.write(buffer.subarray(written, count));
    done += count;
    onProgress?.(done);
  }
  if (left > file.sizeBytes) await target.truncate(file.sizeBytes);
  await target.sync();
  if (start > 0 && await hashOf(target, { buffer, signal }) !== file.sha256) {
    await target.truncate(0);
    throw new StorageError("transient", "a partial copy had other bytes; the next attempt starts over", {
      code: "storage_5xx",
    });
  }
}

async function hashOf(
  target: Deno.FsFile,
  { buffer, signal }: { buffer: Uint8Array; signal: AbortSignal | undefined },
): Promise<string> {
  const hash = createHash("sha256");
  await target.seek(0, Deno.SeekMode.Start);
  for (let count = await target.read(buffer); count !== null; count = await target.read(buffer)) {
    signal?.throwIfAborted();
    hash.update(buffer.subarray(0, count));
  }
  return hash.digest("hex");
}

/** 0 if the file was deleted meanwhile. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

async function filesBelow(directory: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(directory)) {
    const path = `${directory.replace(/\/$/, "")}/${entry.name}`;
    files.push(...(entry.isDirectory ? await filesBelow(path) : [path]));
  }
  return files;
}

function folderError(name: string, error: unknown): unknown {
  if (error instanceof KeepstreamError || !(error instanceof Error)) return error;
  const code = "code" in error ? String(error.code) : "";
  const message = `${name}: ${error.message}`;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new StorageError("quota", message, { code: "disk_full", cause: error });
  }
  if (error instanceof Deno.errors.NotFound) {
    return new StorageError("missing", message, { code: "storage_missing", cause: error });
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return new StorageError("auth", message, { code: "storage_denied", cause: error });
  }
  // Only file system errors become StorageErrors; errors of callbacks stay unchanged.
  return code === "" ? error : new StorageError("transient", message, { code: "storage_5xx", cause: error });
}
