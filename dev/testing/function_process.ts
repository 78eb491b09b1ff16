// A function as a separate program, like an isolate, with only its own configuration and environment.
// Example: await using isolate = await startFunction({ entry: "functions/streaming/index.ts", env }); fetch(`${isolate.url}/…`).
import { freePort } from "../process/free_port.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const POLL_MS = 25;

export interface FunctionProgram {
  readonly entry: string;
  /** @default the deno.json next to the entry */
  readonly config?: string;
  readonly env: Readonly<Record<string, string>>;
  /** Directory of entry and config; the repository by default. */
  readonly dir?: string;
  /** Another Deno version. */
  readonly deno?: string;
  /** Uses `deno serve` instead of `deno run`. */
  readonly serve?: boolean;
}

export interface FunctionProcess extends AsyncDisposable {
  readonly url: string;
  /** Ends it immediately, as a platform may end an isolate. */
  kill(): Promise<void>;
}

export function spawnFunction(program: FunctionProgram, port = 0): Deno.ChildProcess {
  const { entry, config = entry.replace(/[^/]+$/, "deno.json"), env, dir = ROOT, deno = Deno.execPath(), serve } =
    program;
  const command = serve ? ["serve", "--host", "127.0.0.1", "--port", `${port}`] : ["run"];
  return new Deno.Command(deno, {
    args: [...command, "--quiet", "--frozen", "--allow-net", "--allow-env", "--config", config, entry],
    cwd: dir,
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH") ?? "",
      HOME: Deno.env.get("HOME") ?? "",
      ...(Deno.env.has("DENO_DIR") && { DENO_DIR: Deno.env.get("DENO_DIR")! }),
      ...(!serve && { DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}` }),
      ...env,
    },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Resolves when it responds; throws its output if it ends first. */
export async function startFunction(program: FunctionProgram): Promise<FunctionProcess> {
  const port = freePort();
  const child = spawnFunction(program, port);
  const url = `http://127.0.0.1:${port}`;
  const words = new Response(child.stderr).text();
  const out = child.stdout.pipeTo(new WritableStream()); // an unread pipe fills up and blocks the program
  let ended = false;
  child.status.then(() => ended = true);
  while (!await responds(url)) {
    if (ended) {
      await out;
      throw new Error(`${program.entry} ended: ${await words}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  async function end(signal: Deno.Signal): Promise<void> {
    if (!ended) child.kill(signal);
    await Promise.all([child.status, words, out]);
  }
  return { url, kill: () => end("SIGKILL"), [Symbol.asyncDispose]: () => end("SIGTERM") };
}

async function responds(url: string): Promise<boolean> {
  const response = await fetch(`${url}/nothing`).catch(() => null);
  await response?.body?.cancel();
  return response !== null;
}
