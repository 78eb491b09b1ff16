/** Files that git tracks or would track, with their text. Example: `await trackedFiles(/\.ts$/)`. */

const ROOT = new URL("../../", import.meta.url);

export interface TrackedFile {
  /** Relative to the repository's root. */
  readonly path: string;
  readonly text: string;
}

/** @throws {Error} outside of a git checkout. */
export async function trackedFiles(pattern: RegExp): Promise<readonly TrackedFile[]> {
  const { success, stdout, stderr } = await new Deno.Command("git", {
    args: ["ls-files", "--cached", "--others", "--exclude-standard", "-z"],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(`git ls-files failed: ${new TextDecoder().decode(stderr)}`);
  const paths = new TextDecoder().decode(stdout).split("\0").filter((path) => pattern.test(path));
  return await Promise.all(paths.map(async (path) => ({ path, text: await Deno.readTextFile(new URL(path, ROOT)) })));
}
