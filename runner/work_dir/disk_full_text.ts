/**
 * What Deno, ffmpeg and libc say when a disk takes no more: it is full, out of names, over its quota or read-only.
 * Example: `saysDiskFull("No space left on device (os error 28)")` → true. Pure.
 */
export function saysDiskFull(text: string): boolean {
  return /No space left on device|Disk quota exceeded|Read-only file system|os error (28|30|122)\b|ENOSPC|EDQUOT|EROFS/i
    .test(text);
}
