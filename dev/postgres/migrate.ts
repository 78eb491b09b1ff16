/**
 * Applies `supabase/migrations/*.sql` in order, each in a transaction, and records them like the
 * Supabase CLI (`supabase_migrations.schema_migrations`), so that `supabase db push` finds nothing left to do.
 */
import type { Sql } from "postgres";
import { SetupError } from "../process/setup_error.ts";

const MIGRATIONS = new URL("../../supabase/migrations/", import.meta.url);

export interface Migration {
  readonly version: string;
  readonly name: string;
  readonly sql: string;
}

/** Reads `<version>_<name>.sql` files, oldest first. */
export async function readMigrations(folder: URL = MIGRATIONS): Promise<Migration[]> {
  const migrations: Migration[] = [];
  const entries = await Array.fromAsync(Deno.readDir(folder)).catch(() => []);
  for (const { name: file } of entries) {
    const match = /^(\d+)_(.+)\.sql$/.exec(file);
    if (match) {
      migrations.push({ version: match[1]!, name: match[2]!, sql: await Deno.readTextFile(new URL(file, folder)) });
    }
  }
  return migrations.sort((a, b) => a.version < b.version ? -1 : 1);
}

/** Runs new migrations as the role that `sql` is connected as. Returns their number. */
export async function migrate(sql: Sql, migrations: readonly Migration[]): Promise<number> {
  await sql.unsafe(`
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations (
      version text not null primary key, statements text[], name text
    );`);
  const rows = await sql<{ version: string; statements: string[] | null }[]>`
    select version, statements from supabase_migrations.schema_migrations`;
  const applied = new Map(rows.map((row) => [row.version, row.statements?.join(";\n") ?? ""]));
  let count = 0;
  for (const migration of migrations) {
    const before = applied.get(migration.version);
    if (before === migration.sql) continue;
    if (before !== undefined) {
      throw new SetupError(
        "migration_changed",
        `migration ${migration.version}_${migration.name} changed after it was applied to this database: start with --reset`,
      );
    }
    await apply(sql, migration);
    count++;
  }
  return count;
}

async function apply(sql: Sql, migration: Migration): Promise<void> {
  try {
    await sql.begin(async (transaction) => {
      await transaction.unsafe(migration.sql);
      await transaction`
        insert into supabase_migrations.schema_migrations (version, statements, name)
        values (${migration.version}, ${[migration.sql]}, ${migration.name})`;
    });
  } catch (cause) {
    const { message, position } = cause as Error & { position?: string };
    const line = position ? `, line ${migration.sql.slice(0, Number(position)).split("\n").length}` : "";
    throw new SetupError("migration_failed", `migration ${migration.version}_${migration.name}${line}: ${message}`, {
      cause,
    });
  }
}
