/**
 * A disk small enough to be filled: a tmpfs in its own mount namespace, which needs no root if user namespaces are allowed.
 * Example: `const disk = await mountSmallDisk(440)`; a program started after `disk.enter` sees it. Linux only.
 */
export type SmallDisk = AsyncDisposable & {
  readonly path: string;
  /** Prefix of a command line: inside, `path` is the disk. */
  readonly enter: readonly string[];
  /** Leaves `leaveBytes` free: further writes fail with ENOSPC. */
  readonly fill: (leaveBytes?: number) => Promise<void>;
  /** Leaves this many inodes: further files cannot be created, although there is space. */
  readonly fillNames: (leave: number) => Promise<void>;
  /** Frees what `fill` and `fillNames` took. */
  readonly free: () => Promise<void>;
  /** Makes it read-only, or writable again. */
  readonly remount: (mode: "ro" | "rw") => Promise<void>;
  readonly entries: () => Promise<string[]>;
  readonly remove: (entry: string) => Promise<void>;
};

const MAX_NAMES = 400;
/** With a user namespace; without one for a root that may not create one. */
const WAYS = [
  { make: ["unshare", "--user", "--map-root-user", "--mount"], join: ["--user", "--preserve-credentials", "--mount"] },
  { make: ["unshare", "--mount"], join: ["--mount"] },
];

/** Why it is not available. */
export async function mountSmallDisk(megabytes: number): Promise<SmallDisk | { readonly unavailable: string }> {
  if (Deno.build.os !== "linux") return { unavailable: "a disk of its own needs Linux" };
  let reason = "";
  for (const way of WAYS) {
    const path = await Deno.makeTempDir({ prefix: "keepstream-disk-" });
    const mount = `mount -t tmpfs -o size=${megabytes}m,nr_inodes=${MAX_NAMES} tmpfs "$1" && echo mounted && exec cat`;
    const keeper = start(way.make[0]!, [...way.make.slice(1), "sh", "-c", mount, "sh", path]);
    if (keeper === null) return { unavailable: `${way.make[0]} is not installed` };
    const reader = keeper.stdout.getReader();
    const { value } = await reader.read();
    const close = async () => {
      await keeper.stdin.close(); // the keeper exits, and with it its namespace and the disk
      await reader.cancel();
      await keeper.status;
      await Deno.remove(path, { recursive: true });
    };
    if (value === undefined) {
      reason = (await new Response(keeper.stderr).text()).trim();
      await close();
      continue;
    }
    await keeper.stderr.cancel();
    return diskOf(path, { enter: ["nsenter", "--target", `${keeper.pid}`, ...way.join, "--"], close });
  }
  return { unavailable: `no mount namespace here: ${reason}` };
}

function start(program: string, args: string[]): Deno.ChildProcess | null {
  try {
    return new Deno.Command(program, { args, stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function diskOf(path: string, { enter, close }: { enter: string[]; close: () => Promise<void> }): SmallDisk {
  const run = async (script: string, ...args: string[]): Promise<string> => {
    const output = await new Deno.Command(enter[0]!, {
      args: [...enter.slice(1), "sh", "-c", script, "sh", path, ...args],
      stdin: "null",
    }).output();
    if (!output.success) throw new Error(new TextDecoder().decode(output.stderr));
    return new TextDecoder().decode(output.stdout);
  };
  return {
    path,
    enter,
    fill: async (leaveBytes = 0) => {
      const size = `$(( $(df --output=avail -B1 "$1" | tail -1) - $2 ))`;
      await run(
        `[ ${size} -le 0 ] || fallocate -l ${size} "$1/hog" || cat /dev/zero > "$1/hog" || true`,
        `${Math.round(leaveBytes)}`,
      );
    },
    fillNames: async (leave) => {
      const count = `$(( $(df --output=iavail "$1" | tail -1) - $2 ))`;
      await run(`mkdir -p "$1/hogs" && cd "$1/hogs" && seq ${count} | xargs -r touch 2>/dev/null; true`, `${leave}`);
    },
    free: async () => void await run(`rm -rf "$1/hog" "$1/hogs"`),
    remount: async (mode) => void await run(`mount -o "remount,$2" "$1"`, mode),
    remove: async (entry) => void await run(`rm -rf "$1/$2"`, entry),
    entries: async () => (await run(`ls "$1"`)).split("\n").filter(Boolean),
    [Symbol.asyncDispose]: close,
  };
}
