/** Checks that released migrations stay as they are: a database that has run one never runs it again. */
/** Versions, oldest first, each with the SHA-256 of every migration that it added: supabase/released.json. */
export type Releases = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Migrations by file name. */
export type MigrationFiles = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

export const RELEASED_FILE = new URL("../../supabase/released.json", import.meta.url);
const MIGRATIONS = new URL("../../supabase/migrations/", import.meta.url);
const GUIDE = "docs/guide/change-the-database.md";

export async function readReleases(): Promise<Releases> {
  return JSON.parse(await Deno.readTextFile(RELEASED_FILE));
}

export async function readMigrationFiles(): Promise<MigrationFiles> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  for await (const { name } of Deno.readDir(MIGRATIONS)) {
    if (name.endsWith(".sql")) files.set(name, await Deno.readFile(new URL(name, MIGRATIONS)));
  }
  return files;
}

/** What breaks the rule, each with what to do about it; empty if nothing does. */
export async function findProblems(files: MigrationFiles, releases: Releases): Promise<string[]> {
  const problems: string[] = [];
  const released = new Set<string>();
  for (const [version, hashes] of Object.entries(releases)) {
    for (const [file, hash] of Object.entries(hashes)) {
      released.add(file);
      const bytes = files.get(file);
      if (bytes === undefined) problems.push(`${file} was released in ${version} and is missing: restore it`);
      else if (await sha256(bytes) !== hash) {
        problems.push(
          `${file} was released in ${version} and has changed: restore it, and write a new migration (${GUIDE})`,
        );
      }
    }
  }
  const last = [...released].sort().at(-1) ?? "";
  for (const file of [...files.keys()].sort()) {
    if (!released.has(file) && file < last) {
      problems.push(`${file} sorts before ${last}, which is released: give it a later timestamp (${GUIDE})`);
    }
  }
  return problems;
}

/** The releases with a version for the migrations that none has yet. */
export async function addRelease(files: MigrationFiles, releases: Releases, version: string): Promise<Releases> {
  const released = new Set(Object.values(releases).flatMap((hashes) => Object.keys(hashes)));
  const added = [...files].filter(([file]) => !released.has(file)).sort(([a], [b]) => a < b ? -1 : 1);
  const hashes = await Promise.all(added.map(async ([file, bytes]) => [file, await sha256(bytes)] as const));
  return { ...releases, [version]: Object.fromEntries(hashes) };
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
