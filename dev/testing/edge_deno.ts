/** The Deno version of Supabase's edge runtime, from npm: what it cannot run or lock, a deployed function cannot. */

/** Same as in `deno task functions:lock` and .ci/check. */
export const EDGE_DENO = "deno@2.1.4";

let path: Promise<string> | null = null;

/** The program itself, because npm's `deno` is a script that a signal would end without it. */
export function edgeDeno(): Promise<string> {
  path ??= npx(["eval", "--no-config", "--no-lock", "console.log(Deno.execPath())"]).then((text) => text.trim());
  return path;
}

async function npx(args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("npx", {
    args: ["-y", "--loglevel=error", EDGE_DENO, ...args],
    stdin: "null",
  }).output();
  if (!success) throw new Error(`npx ${EDGE_DENO} failed: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
