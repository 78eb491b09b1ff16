// A function as a program of its own, as an isolate is, with nothing but its own configuration and environment.
// Example: await using isolate = await startFunction({ entry: "functions/streaming/index.ts", env }); fetch(`${isolate.url}/…`).
import { freePort } from "../process/free_port.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const POLL_MS = 25;

export interface FunctionProgram {
  readonly entry: string;
  /** The deno.json beside the entry when left out. */
  readonly config?: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where entry and config are; the repository when left out. */
  readonly dir?: string;
  /** Another Deno than this one. */
  readonly deno?: string;
  /** `deno serve` in place of `deno run`. */
  readonly serve?: boolean;
}

export interface FunctionProcess extends AsyncDisposable {
  readonly url: string;
  /** Ends it at once, as a platform does with an isolate it no longer wants. */
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

/** Resolves when it answers; throws with its own words when it ends instead. */
export async function startFunction(program: FunctionProgram): Promise<FunctionProcess> {
  const port = freePort();
  const child = spawnFunction(program, port);
  const url = `http://127.0.0.1:${port}`;
  const words = new Response(child.stderr).text();
  const out = child.stdout.pipeTo(new WritableStream()); // an unread pipe fills up, and the program stands still
  let ended = false;
  child.status.then(() => ended = true);
  while (!await answers(url)) {
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

async function answers(url: string): Promise<boolean> {
  const response = await fetch(`${url}/nothing`).catch(() => null);
  await response?.body?.cancel();
  return response !== null;
}
