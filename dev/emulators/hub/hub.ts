// A Hugging Face Hub on disk: repositories, LFS uploads, commits, private files behind signed CDN URLs.
// Example: `const hub = await startHub({ dir, users: [{ name: "alice", token: "hf_a" }] })`.

import { Hono } from "hono";
import { apiRoutes, removeRepo } from "./api_routes.ts";
import { type BreakableListener, listenBreakable } from "./breakable_listener.ts";
import { controlRoutes } from "./control_routes.ts";
import { type FailureName, type FailureRule, FAILURES, FailureSwitches } from "./failures.ts";
import { completeRoute, lfsRoutes, uploadRoutes } from "./lfs_routes.ts";
import { openObjectStore } from "./objects.ts";
import { FREE_ACCOUNT_LIMITS, RateLimiter, type RateLimitOptions } from "./rate_limit.ts";
import { repoKey, Repos, type RepoType, storedBytes } from "./repos.ts";
import { cdnRoutes, resolveRoutes, smallFileRoutes } from "./resolve_routes.ts";
import { spaceRoutes } from "./space_routes.ts";
import { urlSigner } from "./signed_url.ts";
import type { HubCall, HubEnv, HubState, HubUser } from "./state.ts";

const FREE_ACCOUNT_BYTES = 100e9;

export interface HubOptions {
  /** All state; a hub that is started again on the same directory continues with it. */
  readonly dir: string;
  readonly users: readonly (Pick<HubUser, "name" | "token"> & Partial<HubUser>)[];
  /** 0 (the default) takes free ports. */
  readonly port?: number;
  /** Port of the CDN and the upload URLs, a different origin as on the real Hub. */
  readonly cdnPort?: number;
  readonly failures?: readonly (FailureName | FailureRule)[];
  /** Unix seconds. A test moves it to let URLs expire. */
  readonly now?: () => number;
  readonly multipartThresholdBytes?: number;
  readonly chunkBytes?: number;
  readonly cdnUrlSeconds?: number;
  readonly uploadUrlSeconds?: number;
  readonly rateLimits?: RateLimitOptions;
  /** Counts uploaded bytes without storing them, for measurements larger than the disk. */
  readonly discardBytes?: boolean;
  /** Without it connections cannot be broken on purpose, and bytes are copied once less. Default true. */
  readonly breakable?: boolean;
}

export interface Hub {
  readonly url: string;
  readonly cdnUrl: string;
  /** Every request so far. */
  readonly calls: HubCall[];
  fail(what: FailureName | FailureRule, options?: Partial<FailureRule>): void;
  chaos: FailureSwitches["chaos"];
  clearFailures(): void;
  user(name: string): HubUser;
  /** Deletes a repository, as if someone did it on the website, e.g. "datasets/alice/archive-1". */
  dropRepo(key: string): Promise<void>;
  usedBytes(name: string): number;
  stop(): Promise<void>;
}

export async function startHub(options: HubOptions): Promise<Hub> {
  const failures = new FailureSwitches();
  for (const failure of options.failures ?? []) addFailure(failures, failure);
  const stopping = new AbortController();
  const state: HubState = {
    repos: await Repos.open(options.dir),
    objects: await openObjectStore(options.dir, { discard: options.discardBytes ?? false }),
    users: options.users.map((user) => ({
      role: "write",
      orgs: [],
      quotaBytes: FREE_ACCOUNT_BYTES,
      state: "ok",
      ...user,
    })),
    failures,
    limiter: new RateLimiter(options.rateLimits ?? FREE_ACCOUNT_LIMITS),
    signer: urlSigner(crypto.getRandomValues(new Uint8Array(32))),
    calls: [],
    committing: new Set(),
    stopping: stopping.signal,
    multipartThresholdBytes: options.multipartThresholdBytes ?? 16 * 1024 * 1024,
    chunkBytes: options.chunkBytes ?? 16 * 1024 * 1024,
    cdnUrlSeconds: options.cdnUrlSeconds ?? 3600,
    uploadUrlSeconds: options.uploadUrlSeconds ?? 3600,
    hubUrl: "",
    cdnUrl: "",
    now: options.now ?? (() => Date.now() / 1000),
    async hungUp(port) {
      if (breakable) await Promise.all(servers.map((server) => server.front?.hungUp(port)));
      else await new Promise(() => {});
    },
    breakConnection: (port) => servers.forEach((server) => server.front?.breakConnection(port)),
  };
  const breakable = options.breakable ?? true;
  const hubServer = serve(hubApp(state), { port: options.port ?? 0, breakable });
  const cdnServer = serve(cdnApp(state), { port: options.cdnPort ?? 0, breakable });
  const servers = [hubServer, cdnServer];
  state.hubUrl = hubServer.url;
  state.cdnUrl = cdnServer.url;

  return {
    url: state.hubUrl,
    cdnUrl: state.cdnUrl,
    calls: state.calls,
    fail: (what, extra) => addFailure(failures, what, extra),
    chaos: (chaos) => failures.chaos(chaos),
    clearFailures: () => failures.clear(),
    user(name) {
      const user = state.users.find((candidate) => candidate.name === name);
      if (!user) throw new Error(`the hub has no user ${name}`);
      return user;
    },
    async dropRepo(key) {
      const repo = state.repos.byKey(key);
      if (repo) await removeRepo(state, repo);
    },
    usedBytes: (name) =>
      state.repos.all().filter((repo) => repo.namespace === name).reduce((sum, repo) => sum + storedBytes(repo), 0),
    async stop() {
      stopping.abort();
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}

function hubApp(state: HubState): Hono<HubEnv> {
  const app = new Hono<HubEnv>();
  app.route("/", completeRoute(state));
  app.route("/", smallFileRoutes(state));
  app.route("/api", apiRoutes(state));
  app.route("/api", spaceRoutes(state));
  app.route("/.control", controlRoutes(state));
  for (const [prefix, type] of [["/datasets", "dataset"], ["/spaces", "space"], ["/", "model"]] as const) {
    app.route(prefix, lfsRoutes(state, type satisfies RepoType));
    app.route(prefix, resolveRoutes(state, type));
  }
  app.get("/", (c) => c.json({ hub: "keepstream development hub", repos: state.repos.all().map(repoKey) }));
  return app;
}

function cdnApp(state: HubState): Hono<HubEnv> {
  const app = new Hono<HubEnv>();
  app.route("/", uploadRoutes(state));
  app.route("/", cdnRoutes(state));
  return app;
}

function addFailure(failures: FailureSwitches, what: FailureName | FailureRule, extra?: Partial<FailureRule>) {
  failures.add({ ...(typeof what === "string" ? FAILURES[what] : what), ...extra });
}

interface RunningServer {
  readonly url: string;
  readonly front: BreakableListener | null;
  stop(): Promise<void>;
}

function serve(app: Hono<HubEnv>, options: { port: number; breakable: boolean }): RunningServer {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: options.breakable ? 0 : options.port, onListen: () => {} },
    (request, info) => app.fetch(request, info),
  );
  const front = options.breakable ? listenBreakable({ port: options.port, innerPort: server.addr.port }) : null;
  return {
    url: `http://127.0.0.1:${front?.port ?? server.addr.port}`,
    front,
    async stop() {
      await front?.stop();
      await server.shutdown();
    },
  };
}
