/**
 * Real Postgres 17 with the additions of a Supabase project: roles, schemas, pg_net, pg_cron, Vault, our migrations.
 *
 * @example const postgres = await startPostgres({ dataDir: ".keepstream/dev/postgres", port: 54322, guard, log });
 */
import { join } from "node:path";
import createClient, { type Sql } from "postgres";
import type { Guard } from "../process/guard.ts";
import { installPostgres } from "./binaries.ts";
import { type Cluster, initCluster, startCluster } from "./cluster.ts";
import { clusterHome } from "./home.ts";
import { SetupError } from "../process/setup_error.ts";
import { migrate, type Migration, readMigrations } from "./migrate.ts";

const PROGRAMS_DIR = new URL("../../.keepstream/programs/", import.meta.url).pathname;
const PLATFORM_SQL = new URL("./platform.sql", import.meta.url);
const PASSWORD_FILE = "postgres-password";

export interface PostgresOptions {
  /** Directory of the cluster and its password. */
  readonly dataDir: string;
  /** 0: any free port. */
  readonly port: number;
  readonly guard: Guard;
  readonly log?: (line: string) => void;
  /** false: an operating system crash may lose all data. For tests. */
  readonly durable?: boolean;
  /** @default supabase/migrations */
  readonly migrations?: readonly Migration[];
}

export interface Postgres {
  readonly port: number;
  readonly pid: number;
  /** As `postgres`: owner of the database, not a superuser, as on Supabase. */
  readonly url: string;
  /** As the superuser `supabase_admin`. */
  readonly adminUrl: string;
  /** As `authenticator`, the role that a REST gateway connects as. */
  readonly authenticatorUrl: string;
  /** Settles when the server has ended, for any reason. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

/** @throws {SetupError} with a one-line message that says what to do. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const log = options.log ?? (() => {});
  const home = await clusterHome(options.dataDir);
  if (home.moved) log(home.moved);
  const programs = await clusterHome(PROGRAMS_DIR);
  const binaries = await installPostgres(programs.dir);
  const clusterOptions = {
    dir: home.dir,
    port: options.port,
    password: await readOrMakePassword(home.dir),
    runAs: home.runAs,
    settings: options.durable === false ? FORGETFUL : {},
    guard: options.guard,
    log,
  };
  await initCluster(binaries, clusterOptions);
  const cluster = await startCluster(binaries, clusterOptions);
  try {
    await preparePlatform(cluster, {
      password: clusterOptions.password,
      stamp: binaries.stamp,
      migrations: options.migrations ?? await readMigrations(),
    });
  } catch (error) {
    await cluster.stop();
    throw cluster.diskFullReason() ?? error;
  }
  const url = (role: string) => roleUrl(cluster, role, clusterOptions.password);
  return {
    port: cluster.port,
    pid: cluster.pid,
    url: url("postgres"),
    adminUrl: url("supabase_admin"),
    authenticatorUrl: url("authenticator"),
    ended: cluster.ended,
    stop: cluster.stop,
  };
}

const FORGETFUL = {
  fsync: "off", // a killed server loses nothing, because the kernel has its writes
  full_page_writes: "off",
  max_connections: "300",
  autovacuum_naptime: "10s",
};

async function preparePlatform(
  cluster: Cluster,
  options: { password: string; stamp: string; migrations: readonly Migration[] },
): Promise<void> {
  const { password, migrations } = options;
  const text = await Deno.readTextFile(PLATFORM_SQL);
  const made = `platform ${options.stamp} ${await shortHash(text)}`;
  await withClient(roleUrl(cluster, "supabase_admin", password), async (admin) => {
    const [found] = await admin`
      select to_regrole('authenticator') is not null as exists, obj_description(to_regnamespace('auth'), 'pg_namespace') as made`;
    if (found?.made === made) return;
    if (found?.exists) {
      throw new SetupError(
        "migration_changed",
        "dev/postgres changed after this database was made: start with --reset",
      );
    }
    const sql = text.replaceAll(":password", `'${password}'`);
    await admin.unsafe(`begin;\n${sql}\ncomment on schema auth is '${made}';\ncommit;`);
  });
  await withClient(roleUrl(cluster, "postgres", password), (sql) => migrate(sql, migrations));
}

async function shortHash(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return bytes.slice(0, 4).toHex();
}

async function withClient(url: string, use: (sql: Sql) => Promise<unknown>): Promise<void> {
  const sql = createClient(url, { max: 1, onnotice: () => {} });
  try {
    await use(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function roleUrl(cluster: Cluster, role: string, password: string): string {
  return `postgres://${role}:${password}@127.0.0.1:${cluster.port}/postgres`;
}

async function readOrMakePassword(dir: string): Promise<string> {
  await Deno.mkdir(dir, { recursive: true, mode: 0o755 });
  const file = join(dir, PASSWORD_FILE);
  const kept = await Deno.readTextFile(file).catch(() => "");
  if (kept) return kept;
  const password = crypto.getRandomValues(new Uint8Array(24)).toHex();
  await Deno.writeTextFile(file, password, { mode: 0o600 });
  return password;
}
