/** Releases the kernel lock on a file. Example: `if (await file.tryLock(true)) …; releaseLock(file)`. */

/**
 * Unlocks before closing. Closing alone is not enough: a child that this process starts at the same moment has a copy of the
 * descriptor until its exec, and keeps the lock that long.
 */
export function releaseLock(file: Deno.FsFile): void {
  file.unlockSync();
  file.close();
}
