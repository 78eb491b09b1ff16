/**
 * Files of Debian packages, unpacked into a folder of the checkout without installing them.
 *
 * @example const name = await findPackage("^postgresql-[0-9]+-pgtap$"); await unpack([name], folder);
 */

/** On other systems, `supabase test db` and `supabase db lint` run the same checks. */
export const HAS_APT = await Deno.stat("/usr/bin/apt-get").then(() => true, () => false);

/** The first package whose name matches. */
export async function findPackage(pattern: string): Promise<string> {
  let list = await run(["apt-cache", "search", "--names-only", pattern]);
  if (list === "") {
    await run(Deno.uid() === 0 ? ["apt-get", "-q", "update"] : ["sudo", "-n", "apt-get", "-q", "update"]);
    list = await run(["apt-cache", "search", "--names-only", pattern]);
  }
  const [name] = list.split(" ");
  if (!name) throw new Error(`no package ${pattern} in this system's package lists`);
  return name;
}

/** Dependencies of these packages that are not installed here. */
export async function missingDependencies(names: readonly string[]): Promise<string[]> {
  const plan = await run(["apt-get", "-s", "-q", "install", "--no-install-recommends", ...names]);
  return [...plan.matchAll(/^Inst (\S+)/gm)].map((match) => match[1]!);
}

export async function unpack(names: readonly string[], folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true, mode: 0o755 });
  await run(["apt-get", "-q", "download", ...names], folder);
  for await (const entry of Deno.readDir(folder)) {
    if (!entry.name.endsWith(".deb")) continue;
    await run(["dpkg-deb", "-x", entry.name, "."], folder);
    await Deno.remove(`${folder}/${entry.name}`);
  }
}

async function run(command: readonly string[], cwd = "."): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command[0]!, {
    args: command.slice(1),
    cwd,
    env: { LC_ALL: "C" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  if (code !== 0) throw new Error(`${command.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
