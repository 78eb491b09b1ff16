// A function as a program of its own, as an isolate is, with nothing but its own configuration and environment.
// Example: await using isolate = await startFunction({ entry: "functions/streaming/index.ts", env }); fetch(`${isolate.url}/…`).
import { freePort } from "./free_port.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const POLL_MS = 25;

export interface FunctionProgram {
  readonly entry: string;
  /** The function's own deno.json when left out; a path from the root otherwise. */
  readonly config?: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface FunctionProcess extends AsyncDisposable {
  readonly url: string;
  /** Ends it at once, as a platform does with an isolate it no longer wants. */
  kill(): Promise<void>;
}

export function spawnFunction({ entry, config, env }: FunctionProgram): Deno.ChildProcess {
  const settings = config ?? entry.replace(/[^/]+$/, "deno.json");
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-lock", "--allow-net", "--allow-env", "--config", settings, entry],
    cwd: ROOT,
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH") ?? "",
      HOME: Deno.env.get("HOME") ?? "",
      ...(Deno.env.has("DENO_DIR") && { DENO_DIR: Deno.env.get("DENO_DIR")! }),
      ...env,
    },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Resolves when it answers; throws with its own words when it ends instead. */
export async function startFunction(program: FunctionProgram): Promise<FunctionProcess> {
  const port = freePort();
  const child = spawnFunction({ ...program, env: { ...program.env, DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}` } });
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
