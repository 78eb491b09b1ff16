/**
 * Makes /proc/<pid> of this process unreadable for its children: ffmpeg parses untrusted files, and environ contains our secrets.
 * Linux only, best effort: prctl(PR_SET_DUMPABLE, 0) gives /proc/self to root, and the container does not run as root.
 */
const PR_SET_DUMPABLE = 4;

/** Returns whether it took effect. */
export function hideFromChildren(): boolean {
  if (Deno.build.os !== "linux") return false;
  try {
    using libc = dispose(
      Deno.dlopen("libc.so.6", {
        prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
      }),
    );
    return libc.symbols.prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n) === 0;
  } catch {
    return false; // no permission, or another libc; the children's empty environment still protects the secrets
  }
}

function dispose<T extends { close(): void }>(library: T): T & Disposable {
  return Object.assign(library, { [Symbol.dispose]: () => library.close() });
}
