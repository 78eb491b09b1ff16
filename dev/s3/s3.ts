// A real S3 server (@20minutes/s3rver from npm, which verifies signatures) on loopback, for tests of the S3 target.
// Example: `await using s3 = await startS3({ dir, bucket: "archive" })`. Runs on: Deno.

export interface S3Server extends AsyncDisposable {
  readonly url: string;
  /** What makes it a storage target. */
  readonly env: Record<string, string>;
}

const HERE = new URL(".", import.meta.url).pathname;

export async function startS3(options: { dir: string; bucket: string; port?: number }): Promise<S3Server> {
  await install();
  const args = [`${HERE}server.mjs`, options.dir, options.bucket, String(options.port ?? 0)];
  const child = spawn("node", args) ?? spawn(Deno.execPath(), ["run", "-A", ...args])!;
  const output = child.stdout.getReader();
  const { value } = await output.read();
  const url = `http://127.0.0.1:${new TextDecoder().decode(value).trim()}`;
  return {
    url,
    env: {
      S3_ENDPOINT: url,
      S3_BUCKET: options.bucket,
      S3_REGION: "us-east-1",
      S3_ACCESS_KEY_ID: "S3RVER",
      S3_SECRET_ACCESS_KEY: "S3RVER",
    },
    async [Symbol.asyncDispose]() {
      await child.stdin.close();
      await output.cancel();
      await child.status;
    },
  };
}

/**
 * The package has a folder of its own: it names a program it does not contain, and in the project's folder Deno would warn of that
 * at every start.
 */
async function install(): Promise<void> {
  if (await Deno.stat(`${HERE}node_modules`).then(() => true, () => false)) return;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args: ["install", "-q"], cwd: HERE }).output();
  if (!success) throw new Error(`the S3 server cannot be installed: ${new TextDecoder().decode(stderr)}`);
}

/** Node where there is one: under Deno's node:http the server now and then stalls in the middle of a body. */
function spawn(program: string, args: string[]): Deno.ChildProcess | null {
  try {
    return new Deno.Command(program, { args, stdin: "piped", stdout: "piped", stderr: "null" }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
