// `deno task ks env [PART…] [--from FILE] [--out DIR]`: writes one file for each part from .env, without the secrets of other parts.
import { parseEnv } from "node:util";
import { join, resolve } from "node:path";
import { CommandError, EXIT_CODES, parseCommandLine, readInputFile } from "./command_line.ts";
import { print } from "./print.ts";
import { PARTS, partValues } from "./parts.ts";

const ROOT = new URL("..", import.meta.url).pathname;

const USAGE = `usage: deno task ks env [PART…] [--from FILE] [--out DIR]

  PART          ${Object.keys(PARTS).join(", ")}; default: all
  --from FILE   default: .env
  --out DIR     default: .keepstream/env; readable only by you, and never a directory that git would commit

Nothing is written while a variable is missing, invalid or still a placeholder.
${EXIT_CODES}`;

export async function envCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommandLine(args, {
    usage: USAGE,
    options: {
      from: { type: "string", default: join(ROOT, ".env") },
      out: { type: "string", default: join(ROOT, ".keepstream/env") },
    },
    positionals: Object.keys(PARTS),
  });
  const env = parseEnv(await readInputFile(values.from)) as Record<string, string>;
  const out = resolve(values.out);
  await refuseCommitted(out);
  const files: { readonly name: string; readonly text: string }[] = [];
  const problems: string[] = [];
  for (const name of positionals.length > 0 ? new Set(positionals) : Object.keys(PARTS)) {
    const part = PARTS[name]!;
    const result = partValues(part, env);
    if (result.ok) files.push({ name: part.file, text: part.write(result.values) });
    else problems.push(...result.problems.map((problem) => `${name}: ${problem}`));
  }
  if (problems.length > 0) {
    for (const problem of problems) console.error(problem);
    console.error(`${values.from} is not complete; nothing was written`);
    return 1;
  }
  await Deno.mkdir(out, { recursive: true, mode: 0o700 });
  for (const { name, text } of files) {
    await writePrivately(join(out, name), text);
    print(`wrote ${join(out, name)}`);
  }
  return 0;
}

/** @throws {CommandError} for a directory of a git work tree that is not ignored */
async function refuseCommitted(dir: string): Promise<void> {
  let parent = dir;
  while (!await Deno.stat(parent).then((found) => found.isDirectory, () => false)) parent = resolve(parent, "..");
  const { code } = await new Deno.Command("git", {
    args: ["check-ignore", "--quiet", join(dir, "functions.env")],
    cwd: parent,
    stderr: "null",
  }).output().catch(() => ({ code: 128 })); // no git here
  if (code === 1) throw new CommandError(`${dir} is not ignored by git: secrets would be committed from there`);
}

/** Replaces the file atomically, with mode 0600. */
async function writePrivately(path: string, text: string): Promise<void> {
  const fresh = `${path}.new`;
  await Deno.remove(fresh).catch(() => {});
  await Deno.writeTextFile(fresh, text, { mode: 0o600, createNew: true });
  await Deno.rename(fresh, path);
}
