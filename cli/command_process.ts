// Test fixture: a command as a process of its own. Example: await runKs("videos", ["counts"], fixture.env).

const ROOT = new URL("..", import.meta.url).pathname;

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The environment of a machine without a system. */
export const NO_SYSTEM = { KEEPSTREAM_DATA_DIR: "/nonexistent" };

/** `deno task ks <command> …args`, without the line of the task runner. */
export async function runKs(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "cli/main.ts", command, ...args],
    cwd: ROOT,
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH")!, HOME: Deno.env.get("HOME")!, NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

/** Also without the line that names the system. */
export async function runQuietly(...call: Parameters<typeof runKs>): Promise<Ended> {
  const ended = await runKs(...call);
  return { ...ended, err: ended.err.replace(/^target: http.*\n/, "") };
}
