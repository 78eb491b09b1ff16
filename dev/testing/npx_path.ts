/**
 * The PATH with which npx runs the programs of packages, asked for once per process: npx needs seconds of CPU before it starts a program.
 * Example: `await npxPath("supabase@3.1.0")` → "…/_npx/7a40be/node_modules/.bin:…". Run programs through `/usr/bin/env`, which uses it.
 */
const paths = new Map<string, Promise<string>>();

export function npxPath(...packages: readonly string[]): Promise<string> {
  const name = packages.join(" ");
  const known = paths.get(name) ?? readPath(packages);
  paths.set(name, known);
  return known;
}

async function readPath(packages: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("npx", {
    args: ["-y", "--loglevel=error", ...packages.flatMap((name) => ["-p", name]), "-c", 'printf %s "$PATH"'],
    stdin: "null",
  }).output();
  if (!success) throw new Error(`npx ${packages.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
