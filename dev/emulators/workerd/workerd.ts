/**
 * Runs cf-proxy or web in real workerd: the deployed bundle, a Cache API in memory, static files.
 * `await using worker = await startWorker({ vars: { STREAM_SIGNING_KEYS: "k1:…" } })`
 */
import { lookup } from "node:dns/promises";
import { build, stop as stopEsbuild } from "esbuild";
import workerd from "workerd";
import { buildAssets } from "../../../web/assets_build.ts";

export interface WorkerOptions {
  /** @default "cf-proxy" */
  readonly worker?: WorkerName;
  /** 0, the default: any free port. */
  readonly port?: number;
  /** Variables and secrets of the Worker. */
  readonly vars?: Readonly<Record<string, string>>;
  /** Exact origins on this machine that the Worker may fetch from. */
  readonly allowedOrigins?: readonly string[];
  /** Limit of the rate limiter; without it the Worker has none. Tests only. */
  readonly rateLimit?: { readonly limit: number };
  /** A different program than the Worker's, for measurements. */
  readonly entry?: string;
  /** A bundle that is already built. */
  readonly script?: string;
  /** A folder of already built files for web. */
  readonly assets?: string;
  /** Networks that workerd may connect to: a second barrier after the URL policy. */
  readonly allowNetworks?: readonly string[];
  /** Called with everything that workerd and the Worker write. */
  readonly onOutput?: (text: string) => void;
}

export type WorkerName = "cf-proxy" | "web";

export interface RunningWorker extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly pid: number;
  /** Output of workerd and the Worker so far. */
  output(): string;
  /** Settles when workerd has ended, for any reason. */
  readonly ended: Promise<Deno.CommandStatus>;
  stop(): Promise<void>;
}

const ROOT = new URL("../../../", import.meta.url);
const STOP_GRACE_MS = 2000;
// The package is CommonJS with a default export: one `default` is the module, the other its path.
const WORKERD_PATH = (workerd as unknown as { readonly default: string }).default;

export async function startWorker(options: WorkerOptions = {}): Promise<RunningWorker> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-workerd-" });
  try {
    return await start(dir, options);
  } catch (error) {
    await Deno.remove(dir, { recursive: true });
    throw error;
  }
}

async function start(dir: string, options: WorkerOptions): Promise<RunningWorker> {
  const name = options.worker ?? "cf-proxy";
  const worker = options.script ?? await bundleOf(options.entry ?? entryOf(name));
  const assets = name !== "web"
    ? new Map<string, Uint8Array>()
    : options.assets === undefined
    ? await webAssets()
    : await readFolder(options.assets);
  await Deno.mkdir(`${dir}/assets`);
  for (const [name, bytes] of assets) await Deno.writeFile(`${dir}/assets/${name}`, bytes);
  await Promise.all([
    Deno.writeTextFile(`${dir}/worker.js`, worker),
    Deno.writeTextFile(`${dir}/cache.js`, CACHE),
    Deno.writeTextFile(`${dir}/assets.js`, ASSETS),
    Deno.writeTextFile(`${dir}/limiter.js`, LIMITER),
    Deno.writeTextFile(`${dir}/config.capnp`, await config(options)),
  ]);
  const child = new Deno.Command(WORKERD_PATH, {
    args: ["serve", "--control-fd=1", "config.capnp"],
    cwd: dir,
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const log = { text: "", onOutput: options.onOutput };
  const stderr = collect(child.stderr, log);
  const control = controlMessages(child.stdout, log);
  const port = await control.port;
  let stopped: Promise<void> | null = null;
  const stop = () =>
    stopped ??= stopChild(child, [stderr, control.done]).finally(() => Deno.remove(dir, { recursive: true }));
  if (port === null) {
    await stop();
    throw new Error(`workerd did not start:\n${log.text}`);
  }
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid,
    output: () => log.text,
    ended: child.status,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

const builds = new Map<string, Promise<unknown>>();
let lastBuild: Promise<unknown> = Promise.resolve();

/** The Worker as it is deployed. */
function bundleOf(entry: string): Promise<string> {
  return buildOnce(entry, async (dir) => {
    await bundle(entry, `${dir}/worker.js`);
    return await Deno.readTextFile(`${dir}/worker.js`);
  });
}

/** The static files of web/. */
function webAssets(): Promise<ReadonlyMap<string, Uint8Array>> {
  return buildOnce("assets", async (dir) => {
    await buildAssets(dir);
    return await readFolder(dir);
  });
}

async function readFolder(dir: string): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for await (const { name } of Deno.readDir(dir)) files.set(name, await Deno.readFile(`${dir}/${name}`));
  return files;
}

/**
 * Builds once per process, one at a time: esbuild is a child of this process, and stopping it would abort the build of another
 * caller.
 */
function buildOnce<T>(name: string, build: (dir: string) => Promise<T>): Promise<T> {
  const found = builds.get(name) as Promise<T> | undefined;
  if (found !== undefined) return found;
  const built = lastBuild.then(async () => {
    const dir = await Deno.makeTempDir({ prefix: "keepstream-build-" });
    try {
      return await build(dir);
    } finally {
      await stopEsbuild();
      await Deno.remove(dir, { recursive: true });
    }
  });
  builds.set(name, built);
  lastBuild = built.catch(() => builds.delete(name));
  return built;
}

function entryOf(name: WorkerName): string {
  return new URL(`${name}/worker.ts`, ROOT).pathname;
}

async function bundle(entry: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "esnext",
    absWorkingDir: ROOT.pathname,
    logLevel: "silent",
  });
}

/** Reads the compatibility date and flags from wrangler.jsonc, so that local and deployed runtimes match. */
async function config(options: WorkerOptions): Promise<string> {
  const { compatibilityDate, compatibilityFlags } = await compatibility(options.worker ?? "cf-proxy");
  const vars = {
    ...options.vars,
    ...(options.allowedOrigins ? { DEV_ALLOWED_ORIGINS: options.allowedOrigins.join(",") } : {}),
  };
  const bindings = Object.entries(vars).map(([name, text]) => `(name = ${quote(name)}, text = ${quote(text)})`);
  if (options.worker === "web") bindings.push(`(name = "ASSETS", service = "assets")`);
  if (options.rateLimit) bindings.push(`(name = "RATE_LIMIT", service = (name = "limiter", entrypoint = "Limiter"))`);
  const own = await networksOf(options.allowedOrigins ?? []);
  const networks = options.allowNetworks ?? ["public", "127.0.0.0/8", "::1/128", ...own];
  const common = `compatibilityDate = ${quote(compatibilityDate)}, compatibilityFlags = [${
    compatibilityFlags.map(quote).join(", ")
  }]`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [(name = "worker", esModule = embed "worker.js")], ${common},
      bindings = [${bindings.join(", ")}],
      globalOutbound = "internet", cacheApiOutbound = "cache",
    )),
    (name = "internet", network = (allow = [${networks.map(quote).join(", ")}], tlsOptions = (trustBrowserCas = true))),
    (name = "cache", worker = (modules = [(name = "worker", esModule = embed "cache.js")], ${common})),
    (name = "files", disk = "assets"),
    (name = "assets", worker = (
      modules = [(name = "worker", esModule = embed "assets.js")], ${common},
      bindings = [(name = "FILES", service = "files")],
    )),
    (name = "limiter", worker = (
      modules = [(name = "worker", esModule = embed "limiter.js")], ${common},
      bindings = [(name = "LIMIT", text = ${quote(String(options.rateLimit?.limit ?? 0))})],
    )),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${options.port ?? 0}", http = (), service = "main")],
);
`;
}

/** The IP addresses that workerd must be allowed to connect to for these origins. */
export async function networksOf(origins: readonly string[]): Promise<readonly string[]> {
  const found = await Promise.all(origins.map(async (origin) => {
    const host = new URL(origin).hostname.replace(/^\[(.*)\]$/, "$1");
    const addresses = await lookup(host, { all: true }).catch(() => []); // an unknown name has none
    return addresses.map(({ address, family }) => `${address}/${family === 6 ? 128 : 32}`);
  }));
  return [...new Set(found.flat())];
}

/** The proxy as it is deployed, for another runtime. */
export async function deployableWorker(): Promise<{ readonly script: string } & Compatibility> {
  return { script: await bundleOf(entryOf("cf-proxy")), ...await compatibility("cf-proxy") };
}

interface Compatibility {
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
}

async function compatibility(name: WorkerName): Promise<Compatibility> {
  const text = await Deno.readTextFile(new URL(`${name}/wrangler.jsonc`, ROOT));
  const date = /"compatibility_date":\s*"([\d-]+)"/.exec(text)?.[1];
  const flags = /"compatibility_flags":\s*\[([^\]]*)\]/.exec(text)?.[1] ?? "";
  if (date === undefined) throw new Error(`${name}/wrangler.jsonc has no compatibility_date`);
  return { compatibilityDate: date, compatibilityFlags: [...flags.matchAll(/"([^"]+)"/g)].map((match) => match[1]!) };
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** workerd reports its port on the control channel: {"event":"listen","socket":"http","port":34567}. */
function controlMessages(stream: ReadableStream<Uint8Array>, log: { text: string }) {
  const { promise: port, resolve } = Promise.withResolvers<number | null>();
  const done = (async () => {
    let text = "";
    for await (const chunk of stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)) {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop()!;
      for (const line of lines) {
        const listen = /"event":\s*"listen".*"port":\s*(\d+)/.exec(line);
        if (listen !== null) resolve(Number(listen[1]));
        else log.text += line + "\n";
      }
    }
    resolve(null);
  })();
  return { port, done };
}

async function collect(
  stream: ReadableStream<Uint8Array>,
  log: { text: string; onOutput: ((text: string) => void) | undefined },
): Promise<void> {
  for await (const text of stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)) {
    log.text = (log.text + text).slice(-100_000);
    log.onOutput?.(text);
  }
}

async function stopChild(child: Deno.ChildProcess, streams: readonly Promise<void>[]): Promise<void> {
  const kill = (signal: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch {
      // It has ended.
    }
  };
  kill("SIGTERM");
  const timer = setTimeout(() => kill("SIGKILL"), STOP_GRACE_MS);
  await child.status;
  clearTimeout(timer);
  await Promise.all(streams);
}

/** The Cache API's backend: a PUT's body is the response as HTTP text; a missing entry is a 504 (RFC 9111 §5.2.1.7). */
const CACHE = `
const entries = new Map();
export default {
  async fetch(request) {
    const key = request.url;
    if (request.method === "PUT") {
      const bytes = new Uint8Array(await request.arrayBuffer());
      const text = new TextDecoder("latin1").decode(bytes);
      const end = text.indexOf("\\r\\n\\r\\n");
      const [status, ...lines] = text.slice(0, end).split("\\r\\n");
      const headers = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
      const maxAge = /max-age=(\\d+)/.exec(new Headers(headers).get("cache-control") ?? "");
      const expires = maxAge ? Date.now() + 1000 * Number(maxAge[1]) : Infinity;
      entries.set(key, { status: Number(status.split(" ")[1]), headers, expires, body: bytes.slice(end + 4) });
      return new Response(null, { status: 204 });
    }
    if (request.method === "PURGE") return new Response(null, { status: entries.delete(key) ? 200 : 404 });
    const entry = entries.get(key);
    if (entry === undefined || entry.expires < Date.now()) {
      return new Response(null, { status: 504, headers: { "CF-Cache-Status": "MISS" } });
    }
    const headers = new Headers(entry.headers);
    headers.delete("transfer-encoding");
    headers.set("CF-Cache-Status", "HIT");
    return new Response(entry.body, { status: entry.status, headers });
  },
};
`;

/** Static assets like Cloudflare's: "/" is index.html, and the extension determines the type. */
const ASSETS = `
const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml" };
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname.endsWith("/")) url.pathname += "index.html";
    const file = await env.FILES.fetch(new Request(url, { method: request.method }));
    if (file.status !== 200) return new Response("not found", { status: 404 });
    const type = TYPES[url.pathname.slice(url.pathname.lastIndexOf(".") + 1)] ?? "application/octet-stream";
    return new Response(file.body, { headers: { "Content-Type": type, "Cache-Control": "public, max-age=0, must-revalidate" } });
  },
};
`;

/** Emulates the rate-limit binding: a number of calls per key. */
const LIMITER = `
import { WorkerEntrypoint } from "cloudflare:workers";
const counts = new Map();
export class Limiter extends WorkerEntrypoint {
  limit({ key }) {
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return { success: counts.get(key) <= Number(this.env.LIMIT) };
  }
}
export default { fetch: () => new Response(null, { status: 404 }) };
`;
