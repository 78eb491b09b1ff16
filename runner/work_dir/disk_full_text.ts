/** Recognises the messages of Deno, ffmpeg and libc for a disk that is full, out of inodes, over its quota or read-only. Pure. */
export function saysDiskFull(text: string): boolean {
  return /No space left on device|Disk quota exceeded|Read-only file system|os error (28|30|122)\b|ENOSPC|EDQUOT|EROFS/i
    .test(text);
}
