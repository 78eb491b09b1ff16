/** `deno task db:types`: writes core/database.types.ts from a fresh database with all migrations. */
import { startGuard } from "../../dev/guard.ts";
import { startPostgres } from "../../dev/postgres.ts";
import { generateTypes } from "./supabase_cli.ts";

const TYPES_FILE = new URL("../../core/database.types.ts", import.meta.url);

const guard = startGuard();
const dataDir = await Deno.makeTempDir({ prefix: "keepstream-types-" });
await Deno.chmod(dataDir, 0o755);
try {
  const postgres = await startPostgres({ dataDir, port: 0, guard, durable: false });
  try {
    await Deno.writeTextFile(TYPES_FILE, await generateTypes(postgres.url));
  } finally {
    await postgres.stop();
  }
} finally {
  await Deno.remove(dataDir, { recursive: true });
  await guard.close();
}
