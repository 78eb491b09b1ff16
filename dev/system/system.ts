/**
 * The whole of keepstream on this machine: Postgres, the Supabase gateway, net and cron workers, functions, runner and
 * cf-proxy as real programs; the Hub and the video host emulated. Production code is configured by its environment only.
 *
 * @example await using system = await startSystem({ dataDir, ports: "free" });
 */
import { join } from "node:path";
import { afterAbandoned } from "../process/abandoned.ts";
import { startCronWorker } from "../emulators/supabase/cron_worker.ts";
import { type DataFolder, openDataFolder, readRunning, type Secrets, type StorageAccount } from "./data_folder.ts";
import { type Gateway, startGateway } from "../emulators/supabase/gateway.ts";
import type { ProjectKeys } from "../emulators/supabase/keys.ts";
import { type Guard, startGuard } from "../process/guard.ts";
import { ARIA2, FFMPEG, installPrograms } from "../process/install.ts";
import type { LogLine } from "../process/log_stream.ts";
import { startNetWorker } from "../emulators/supabase/net_worker.ts";
import { type PartName, Parts } from "./parts.ts";
import { choosePorts, type Ports, rememberPorts } from "./ports.ts";
import { type Postgres, startPostgres } from "../postgres/postgres.ts";
import { DEMO_EPISODE, seed, type SeedMedium } from "./seed.ts";
import { type Service, type ServiceOptions, startService } from "../process/service.ts";
import { SetupError } from "../process/setup_error.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const FUNCTIONS = ["streaming", "archive"] as const;
/** No storage token: functions sign links, the proxy and the runner have the tokens. */
const FUNCTION_VARIABLES = /^(SUPABASE_.*|CLOUDFLARE_WORKERS_URL|STREAM_SIGNING_KEYS|HF_ENDPOINT|DEV_ALLOWED_ORIGINS)$/;
const PROXY_VARIABLES =
  /^(STREAM_SIGNING_KEYS|HF_TOKEN_STORAGE_\d+|HF_STORAGE_USERNAME_\d+|HF_STORAGE_ACCOUNT_COUNT|HF_ENDPOINT|PUBLIC_API_URL)$/;
const RUNNER_STOP_MS = 30_000;
const REPO_PREFIX = "keepstream";

export interface SystemOptions {
  /** Stored between runs: `.keepstream/dev`. */
  readonly dataDir: string;
  /** "fixed": the documented ports; "free": any. */
  readonly ports: "fixed" | "free";
  readonly log?: LogLine;
  /** false: Postgres may lose its last writes. For tests. */
  readonly durable?: boolean;
  /** The operator's own servers that may be fetched from, in addition to those of this system. */
  readonly allowedOrigins?: readonly string[];
  /** Additional variables for the functions and the runner: a shorter lease, a longer timeout. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface SystemUrls {
  readonly gateway: string;
  readonly postgres: string;
  readonly runner: string;
  readonly proxy: string;
  /** The watch page. */
  readonly web: string;
  readonly hub: string;
  readonly origin: string;
  /** The demo episode's public response. */
  readonly episode: string;
  /** The watch page, with the demo episode. */
  readonly watch: string;
}

/** What other programs can read about a running system: URLs and keys. */
export interface RunningSystem {
  readonly pid: number;
  readonly dataDir: string;
  readonly urls: SystemUrls;
  readonly keys: ProjectKeys;
  readonly accounts: readonly StorageAccount[];
  readonly media: readonly SeedMedium[];
  /** Process groups by part. */
  readonly processes: Readonly<Record<string, number>>;
  /** Variables of functions and runner. */
  readonly env: Readonly<Record<string, string>>;
}

export interface System extends RunningSystem, AsyncDisposable {
  /** Settles with the reason when a part ended without being stopped; the rest is then stopped. */
  readonly failed: Promise<SetupError>;
  /** A part's process, for tests that kill it. */
  service(name: string): Service | undefined;
  stop(): Promise<void>;
}

/** Starts everything and returns when all parts are ready. @throws {SetupError} and leaves nothing running. */
export async function startSystem(options: SystemOptions): Promise<System> {
  const log = options.log ?? (() => {});
  await installPrograms([ARIA2, FFMPEG], (line) => log("dev", line));
  const folder = await openDataFolder(options.dataDir);
  const parts = new Parts(log);
  parts.add("folder", folder.release);
  try {
    const ports = await afterAbandoned(() => choosePorts(options.ports, folder.dir), { pids: folder.abandoned, log });
    const guard = startGuard();
    parts.add("guard", guard.close);
    const running = await startParts({ ...options, folder, guard, ports, log, parts });
    await folder.announce(running);
    return {
      ...running,
      failed: parts.failed,
      service: (name) => parts.services.get(name),
      stop: () => parts.stop(),
      [Symbol.asyncDispose]: () => parts.stop(),
    };
  } catch (error) {
    await parts.stop();
    throw error;
  }
}

/** The system that runs in this folder, such as a `deno task dev` in another terminal, or null. */
export async function findRunningSystem(dataDir: string): Promise<RunningSystem | null> {
  const running = await readRunning<RunningSystem>(dataDir);
  if (running === null) return null;
  const response = await fetch(`${running.urls.gateway}/health`, { signal: AbortSignal.timeout(3_000) }).catch(() =>
    null
  );
  await response?.body?.cancel();
  return response?.ok ? running : null; // starting, or stopping
}

interface Context extends Omit<SystemOptions, "ports" | "log"> {
  readonly folder: DataFolder;
  readonly guard: Guard;
  readonly ports: Ports;
  readonly log: LogLine;
  readonly parts: Parts;
}

async function startParts(context: Context): Promise<RunningSystem> {
  const { folder } = context;
  const { secrets } = folder;
  // Parts that do not depend on each other start concurrently; the first error is thrown when all have settled.
  const [postgres, hub, origin] = await settleAll([
    startDatabase(context),
    startHubService(context),
    startOriginService(context),
  ]);
  const gateway = await startPlatform(context, postgres);
  const allowedOrigins = [origin.url, hub.url, hub.cdnUrl, ...context.allowedOrigins ?? []];
  const platform = { gateway: gateway.url, postgres: postgres.url, hub: hub.url, origin: origin.url };
  const platformEnv = { ...platformVariables({ ...platform, secrets, allowedOrigins }), ...context.env };
  const [proxy, web, runner] = await settleAll([
    startProxy(context, { env: platformEnv, allowedOrigins }),
    startWeb(context, platformEnv),
    startRunner(context, platformEnv),
  ]);
  const urls = { ...platform, proxy, web, runner, ...demoUrls({ gateway: gateway.url, web }) };
  const env = { ...platformEnv, CLOUDFLARE_WORKERS_URL: proxy, ...context.env };
  await settleAll([
    seed(postgres.url, {
      runnerUrl: runner,
      runnerWebhookSecret: secrets.runnerWebhookSecret,
      media: origin.media,
    }),
    ...FUNCTIONS.map((name) => startFunction(context, { name, env, gateway })),
  ]);
  await rememberPorts({
    gateway: portOf(gateway.url),
    postgres: postgres.port,
    runner: portOf(runner),
    proxy: portOf(proxy),
    web: portOf(web),
    hub: portOf(hub.url),
    hubCdn: portOf(hub.cdnUrl),
    origin: portOf(origin.url),
  }, folder.dir);
  const { keys, accounts } = secrets;
  const children = [...context.parts.services.values()].map((service) => [service.name, service.pid]);
  const processes = { ...Object.fromEntries(children), postgres: postgres.pid };
  return { pid: Deno.pid, dataDir: folder.dir, urls, keys, accounts, media: origin.media, processes, env };
}

async function startDatabase(context: Context): Promise<Postgres> {
  const postgres = await startPostgres({
    dataDir: join(context.folder.dir, "postgres"),
    port: context.ports.postgres,
    guard: context.guard,
    durable: context.durable,
    log: (line) => context.log("postgres", line),
  });
  context.parts.add("postgres", postgres.stop, postgres.ended);
  return postgres;
}

async function startHubService(context: Context): Promise<{ url: string; cdnUrl: string }> {
  const { ports, folder } = context;
  const users = folder.secrets.accounts.map(({ name, token }) => `${name}=${token}`);
  const hub = await startChild(context, {
    name: "hub",
    command: denoRun("dev/emulators/hub/main.ts", [
      ...["--dir", join(folder.dir, "hub"), "--port", `${ports.hub}`, "--cdn-port", `${ports.hubCdn}`],
    ]),
    env: { HUB_USERS: users.join(",") },
    ready: { line: /^\{"url":/ },
  });
  return JSON.parse(hub.readyLine);
}

async function startOriginService(context: Context): Promise<{ url: string; media: SeedMedium[] }> {
  const origin = await startChild(context, {
    name: "origin",
    command: denoRun("dev/emulators/origin/main.ts", [`${context.ports.origin}`, join(context.folder.dir, "origin")]),
    env: {},
    ready: { line: /"event":"origin:ready"/ },
  });
  return JSON.parse(origin.readyLine);
}

/** Supabase without Postgres: the gateway and the two background workers. */
async function startPlatform(context: Context, postgres: Postgres): Promise<Gateway> {
  const gateway = await startGateway({
    port: context.ports.gateway,
    databaseUrl: postgres.authenticatorUrl,
    keys: context.folder.secrets.keys,
  });
  context.parts.add("gateway", gateway.stop);
  const net = await startNetWorker({ databaseUrl: postgres.adminUrl, log: (line) => context.log("pg_net", line) });
  context.parts.add("pg_net", net.stop);
  const cron = await startCronWorker({ databaseUrl: postgres.adminUrl, log: (line) => context.log("pg_cron", line) });
  context.parts.add("pg_cron", cron.stop);
  return gateway;
}

async function startFunction(
  context: Context,
  options: { name: typeof FUNCTIONS[number]; env: Readonly<Record<string, string>>; gateway: Gateway },
): Promise<void> {
  const { name, env, gateway } = options;
  const service = await startChild(context, {
    name,
    command: [
      Deno.execPath(),
      ...["run", "--allow-net", "--allow-env", "--config", join(ROOT, `functions/${name}/deno.json`)],
      join(ROOT, `functions/${name}/index.ts`),
    ],
    env: { ...pick(env, FUNCTION_VARIABLES), ...context.env, DENO_SERVE_ADDRESS: "tcp:127.0.0.1:0" },
    ready: { line: /Listening on http/ },
  });
  gateway.setFunction(name, /http:\/\/127\.0\.0\.1:\d+/.exec(service.readyLine)![0]);
}

/** Returns the Worker's URL. */
async function startProxy(
  context: Context,
  options: { env: Readonly<Record<string, string>>; allowedOrigins: readonly string[] },
): Promise<string> {
  const proxy = await startChild(context, {
    name: "proxy",
    command: denoRun("dev/emulators/workerd/main.ts", ["cf-proxy", `${context.ports.proxy}`]),
    env: {
      WORKER_VARS: JSON.stringify(pick(options.env, PROXY_VARIABLES)),
      WORKER_ALLOWED_ORIGINS: options.allowedOrigins.join(","),
    },
    ready: { line: /"event":"worker:ready"/ },
  });
  return (JSON.parse(proxy.readyLine) as { url: string }).url;
}

/** Returns the watch page's URL. */
async function startWeb(context: Context, env: Readonly<Record<string, string>>): Promise<string> {
  const web = await startChild(context, {
    name: "web",
    command: denoRun("dev/emulators/workerd/main.ts", ["web", `${context.ports.web}`]),
    env: { WORKER_VARS: JSON.stringify(pick(env, /^PUBLIC_API_URL$/)) },
    ready: { line: /"event":"worker:ready"/ },
  });
  return (JSON.parse(web.readyLine) as { url: string }).url;
}

/** Returns the runner's URL. */
async function startRunner(context: Context, env: Readonly<Record<string, string>>): Promise<string> {
  const runner = await startChild(context, {
    name: "runner",
    command: denoRun("runner/main.ts", []),
    env: {
      RUNNER_NAME: "runner", // the default contains the name of this machine
      ...env,
      PORT: `${context.ports.runner}`,
      RUNNER_WORK_DIR: join(context.folder.dir, "work"),
    },
    ready: { line: /"event":"runner:started"/ },
    stopMs: RUNNER_STOP_MS,
  });
  const { port } = JSON.parse(runner.readyLine) as { port: number };
  return `http://127.0.0.1:${port}`;
}

async function startChild(
  context: Context,
  options: Pick<ServiceOptions, "command" | "env" | "ready" | "stopMs"> & { readonly name: PartName },
): Promise<Service> {
  const service = await startService({
    ...options,
    env: { ...inheritedEnv(), ...options.env },
    guard: context.guard,
    log: (line) => context.log(options.name, line),
  });
  context.parts.services.set(options.name, service);
  context.parts.add(options.name, service.stop, service.ended);
  return service;
}

function denoRun(program: string, args: readonly string[]): [string, ...string[]] {
  return [Deno.execPath(), "run", "--quiet", "-A", join(ROOT, program), ...args];
}

function platformVariables(
  options: { gateway: string; hub: string; secrets: Secrets; allowedOrigins: readonly string[] },
): Record<string, string> {
  const { gateway, hub, secrets } = options;
  return {
    SUPABASE_URL: gateway,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: secrets.keys.publishable }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: secrets.keys.secret }),
    PUBLIC_API_URL: `${gateway}/functions/v1`,
    STREAM_SIGNING_KEYS: secrets.streamSigningKeys,
    RUNNER_WEBHOOK_SECRET: secrets.runnerWebhookSecret,
    HF_FILE_SALT: secrets.fileSalt,
    HF_REPO_PREFIX: REPO_PREFIX,
    HF_ENDPOINT: hub,
    HF_STORAGE_ACCOUNT_COUNT: `${secrets.accounts.length}`,
    ...Object.fromEntries(secrets.accounts.flatMap(({ name, token }, index) => [
      [`HF_STORAGE_USERNAME_${index + 1}`, name],
      [`HF_TOKEN_STORAGE_${index + 1}`, token],
    ])),
    DEV_ALLOWED_ORIGINS: options.allowedOrigins.join(","),
  };
}

function demoUrls({ gateway, web }: { gateway: string; web: string }): { episode: string; watch: string } {
  const { malId, episode } = DEMO_EPISODE;
  const query = new URLSearchParams({ api: `${gateway}/functions/v1`, title: `${malId}`, episode: `${episode}` });
  return { episode: `${gateway}/functions/v1/streaming/${malId}/${episode}`, watch: `${web}/?${query}` };
}

function portOf(url: string): number {
  return Number(new URL(url).port);
}

/** Variables of this machine that every program needs: locations of programs, homes, caches and certificates. */
function inheritedEnv(): Record<string, string> {
  return pick(
    Deno.env.toObject(),
    /^(PATH|HOME|USER|LANG|LC_ALL|TMPDIR|TZ|TERM|NO_COLOR|DENO_DIR|DENO_CERT|DENO_TLS_CA_STORE|XDG_CACHE_HOME|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|SSL_CERT_DIR|NPM_CONFIG_REGISTRY|npm_config_registry|HTTPS?_PROXY|NO_PROXY|https?_proxy|no_proxy)$/,
  );
}

function pick(env: Readonly<Record<string, string>>, names: RegExp): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => names.test(name)));
}

/** Like Promise.all, but waits until all have settled before it throws, so that everything started can be stopped. */
async function settleAll<T extends readonly unknown[]>(
  promises: { readonly [K in keyof T]: Promise<T[K]> },
): Promise<T> {
  const results = await Promise.allSettled(promises as readonly Promise<unknown>[]);
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  }) as unknown as T;
}
