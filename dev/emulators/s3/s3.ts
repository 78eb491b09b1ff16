// Two real S3 servers on loopback that verify signatures, for tests of the S3 target: @20minutes/s3rver from npm, and OpenStack Swift
// if Debian's python3-swift is installed. Example: `await using s3 = await startS3({ dir, bucket: "archive" })`.

export interface S3Server extends AsyncDisposable {
  readonly url: string;
  /** Variables that make it a storage target. */
  readonly env: Record<string, string>;
}

/** Debian's Python: another one does not see its packages. */
const PYTHON = "/usr/bin/python3";
const HERE = new URL(".", import.meta.url).pathname;

export async function startS3(options: { dir: string; bucket: string; port?: number }): Promise<S3Server> {
  await install();
  const args = [`${HERE}server.mjs`, options.dir, options.bucket, String(options.port ?? 0)];
  return await serverOf(spawn("node", args) ?? spawn(Deno.execPath(), ["run", "-A", ...args])!, {
    S3_BUCKET: options.bucket,
    S3_ACCESS_KEY_ID: "S3RVER",
    S3_SECRET_ACCESS_KEY: "S3RVER",
  });
}

/** Whether `startSwift` works on this machine. */
export function hasSwift(): boolean {
  try {
    return new Deno.Command(PYTHON, { args: ["-c", "import swift.common.middleware.s3api"], stderr: "null" })
      .outputSync()
      .success;
  } catch {
    return false; // there is no such Python
  }
}

export async function startSwift(options: { dir: string; bucket: string }): Promise<S3Server> {
  const keys = { S3_ACCESS_KEY_ID: "test:tester", S3_SECRET_ACCESS_KEY: "testing" };
  const args = [`${HERE}swift_server.py`, options.dir, options.bucket, keys.S3_ACCESS_KEY_ID];
  const child = spawn(PYTHON, args, { SWIFT_KEY: keys.S3_SECRET_ACCESS_KEY })!;
  return await serverOf(child, { S3_BUCKET: options.bucket, ...keys });
}

/** The server prints its port and ends with its standard input. */
async function serverOf(child: Deno.ChildProcess, env: Record<string, string>): Promise<S3Server> {
  const output = child.stdout.getReader();
  const { value } = await output.read();
  if (!value) throw new Error("the S3 server ended before it was ready");
  const url = `http://127.0.0.1:${new TextDecoder().decode(value).trim()}`;
  return {
    url,
    env: { ...env, S3_ENDPOINT: url, S3_REGION: "us-east-1" },
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      await output.cancel();
      await child.status;
    },
  };
}

/**
 * The package has a separate folder: it names a program that it does not contain, and in the project's folder Deno would warn about it
 * at every start.
 */
async function install(): Promise<void> {
  if (await Deno.stat(`${HERE}node_modules`).then(() => true, () => false)) return;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args: ["install", "-q"], cwd: HERE }).output();
  if (!success) throw new Error(`the S3 server cannot be installed: ${new TextDecoder().decode(stderr)}`);
}

/** Node if available: under Deno's node:http the server sometimes stalls in the middle of a body. */
function spawn(program: string, args: string[], env: Record<string, string> = {}): Deno.ChildProcess | null {
  try {
    return new Deno.Command(program, { args, env, stdin: "piped", stdout: "piped", stderr: "null" }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
