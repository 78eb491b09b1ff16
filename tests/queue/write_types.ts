/** `deno task db:types`: writes core/database.types.ts from a fresh database with all migrations. */
import { commandLine } from "../../cli/command_line.ts";
import { withOwnPostgres } from "./fixture/own_postgres.ts";
import { generateTypes } from "./supabase_cli.ts";

commandLine({ usage: "usage: deno task db:types" });

const TYPES_FILE = new URL("../../core/database.types.ts", import.meta.url);

await withOwnPostgres(async (postgres) => {
  await Deno.writeTextFile(TYPES_FILE, await generateTypes(postgres.url));
});
