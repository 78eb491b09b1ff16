/**
 * Where a cluster is stored and as which user it runs. Postgres refuses to run as root; started by root it runs as an unprivileged user.
 * If that user cannot enter the folder, such as a checkout in root's home, the cluster moves to
 * /var/lib/keepstream/<hash of the folder>.
 */
import { dirname, join, resolve } from "node:path";
import { SetupError } from "../process/setup_error.ts";

const FALLBACK_ROOT = "/var/lib/keepstream";

/** Ids of another user that programs have to run as. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

export interface ClusterHome {
  /** Directory of the cluster's files; `runAs` can enter all its parents. */
  readonly dir: string;
  readonly runAs: RunAs | undefined;
  /** Why `dir` is not the requested folder. */
  readonly moved: string | undefined;
}

/** Chooses the home for the requested `folder`, which need not exist yet. */
export async function clusterHome(folder: string): Promise<ClusterHome> {
  const wanted = resolve(folder);
  if (Deno.uid() !== 0) return { dir: wanted, runAs: undefined, moved: undefined };
  const runAs = await unprivilegedUser();
  await Deno.mkdir(wanted, { recursive: true, mode: 0o755 });
  const closed = await closedParent(wanted);
  if (closed === undefined) return { dir: wanted, runAs, moved: undefined };
  const dir = join(FALLBACK_ROOT, await shortHash(wanted));
  await Deno.mkdir(dir, { recursive: true, mode: 0o755 });
  return {
    dir,
    runAs,
    moved: `Postgres cannot run as root, and no other user may enter ${closed}: its files are in ${dir}`,
  };
}

/** The first directory on the way to `path` that other users may not enter. */
async function closedParent(path: string): Promise<string | undefined> {
  const mode = (await Deno.stat(path)).mode ?? 0o755;
  const parent = dirname(path);
  const above = parent === path ? undefined : await closedParent(parent);
  return above ?? ((mode & 0o001) === 0 ? path : undefined);
}

/** `initdb` needs a user with a name; this one exists everywhere and owns nothing. */
const UNPRIVILEGED = "nobody"; // banned-words: allow

async function unprivilegedUser(): Promise<RunAs> {
  const passwd = await Deno.readTextFile("/etc/passwd");
  const entry = passwd.split("\n").map((line) => line.split(":")).find(([name]) => name === UNPRIVILEGED);
  if (!entry?.[2] || !entry[3]) {
    throw new SetupError(
      "missing_program",
      `Postgres cannot run as root and there is no user ${UNPRIVILEGED}: start as another user`,
    );
  }
  return { uid: Number(entry[2]), gid: Number(entry[3]) };
}

async function shortHash(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return bytes.slice(0, 6).toHex();
}
