/** `deno task db:release VERSION`: records the migrations that no release has yet in supabase/released.json. */
import { CommandError, parseCommandLine, runCommand } from "../../cli/command_line.ts";
import { addRelease, findProblems, readMigrationFiles, readReleases, RELEASED_FILE } from "./released_migrations.ts";

const USAGE = "usage: deno task db:release VERSION";

await runCommand(async () => {
  const { positionals: [version] } = parseCommandLine(Deno.args, { usage: USAGE, positionals: 1 });
  if (!version || !/^\d+\.\d+\.\d+$/.test(version)) throw new CommandError(`VERSION must be like 0.2.0\n${USAGE}`);
  const [files, releases] = [await readMigrationFiles(), await readReleases()];
  if (version in releases) throw new CommandError(`${version} is released already: take the next version`);
  const problems = await findProblems(files, releases);
  if (problems.length > 0) throw new CommandError(problems.join("\n"));
  const added = await addRelease(files, releases, version);
  await Deno.writeTextFile(RELEASED_FILE, JSON.stringify(added, null, 2) + "\n");
  console.log(`${version}: ${Object.keys(added[version]!).length} migrations recorded in supabase/released.json`);
  return 0;
});
