// State shared by all routes of the hub, and the checks of every request: user, permission, failure switches.

import type { Context, MiddlewareHandler } from "hono";
import type { Effect, FailureSwitches, Operation } from "./failures.ts";
import type { ObjectStore } from "./objects.ts";
import type { RateLimitBucket, RateLimiter } from "./rate_limit.ts";
import type { Repo, Repos } from "./repos.ts";
import type { UrlSigner } from "./signed_url.ts";

export interface HubUser {
  readonly name: string;
  token: string;
  role: "write" | "read";
  /** Organisations whose repositories this user can access. */
  orgs: readonly string[];
  /** Quota of private storage in bytes. */
  quotaBytes: number;
  /** revoked: 401 for everything; flagged: 403 for everything; gone: connections break. */
  state: "ok" | "revoked" | "flagged" | "gone";
}

export interface HubCall {
  readonly at: Operation;
  readonly user: string | null;
  readonly method: string;
  readonly path: string;
  status: number;
  /** Bytes of the request's body that arrived (uploads), or that were to be sent (downloads). */
  bytes: number;
  range: string | null;
}

export interface HubState {
  readonly repos: Repos;
  readonly objects: ObjectStore;
  readonly users: HubUser[];
  readonly failures: FailureSwitches;
  readonly limiter: RateLimiter;
  readonly signer: UrlSigner;
  readonly calls: HubCall[];
  readonly committing: Set<string>;
  readonly stopping: AbortSignal;
  readonly multipartThresholdBytes: number;
  readonly chunkBytes: number;
  readonly cdnUrlSeconds: number;
  readonly uploadUrlSeconds: number;
  hubUrl: string;
  cdnUrl: string;
  now(): number;
  breakConnection(innerPort: number): void;
  /** Settles when that client has closed its connection; never if connections cannot be watched. */
  hungUp(innerPort: number): Promise<void>;
}

export interface HubVariables {
  user: HubUser | null;
  effect: Effect | null;
  call: HubCall;
}

export type HubContext = Context<{ Variables: HubVariables; Bindings: Deno.ServeHandlerInfo<Deno.NetAddr> }>;
export type HubEnv = { Variables: HubVariables; Bindings: Deno.ServeHandlerInfo<Deno.NetAddr> };

/** Wraps a route in its operation: call log, account state, rate limit and failure switches. */
export function operation(
  state: HubState,
  at: Operation,
  options: { bucket?: RateLimitBucket | null } = {},
): MiddlewareHandler<HubEnv> {
  return async (c, next) => {
    const user = userOf(c, state);
    const call: HubCall = {
      at,
      user: user?.name ?? null,
      method: c.req.method,
      path: new URL(c.req.url).pathname,
      status: 0,
      bytes: 0,
      range: c.req.header("range") ?? null,
    };
    state.calls.push(call);
    c.set("user", user);
    c.set("call", call);
    const bucket = options.bucket === undefined ? "api" : options.bucket;
    const limit = bucket && state.limiter.take(user?.name ?? "anonymous", { bucket, now: state.now() });
    const early = refusalOf(c, state, { user, overLimit: limit ? !limit.allowed : false, signed: bucket === null });
    const effect = early ? null : state.failures.take(at, user?.name ?? null);
    c.set("effect", effect);
    if (early) c.res = early;
    else await withEffect(c, state, next);
    call.status = c.res.status;
    for (const [name, value] of Object.entries(limit?.headers ?? {})) {
      if (!c.res.headers.has(name)) c.res.headers.set(name, value);
    }
    c.res.headers.set("X-Request-Id", `Root=1-${crypto.randomUUID()}`);
  };
}

/** The response to an error, in the Hub's wording. */
export function refuse(status: number, error: string, code?: string): Response {
  return new Response(JSON.stringify({ error }), {
    status,
    headers: {
      "content-type": "application/json; charset=utf-8",
      ...(code ? { "X-Error-Code": code, "X-Error-Message": error } : {}),
    },
  });
}

/** The repository of the URL if the caller may see it, otherwise the Hub's refusal. */
export function findReadable(c: HubContext, repo: Repo | undefined): Repo | Response {
  const user = c.get("user");
  if (repo && (repo.visibility === "public" || belongs(user, repo.namespace))) return repo;
  return user
    ? refuse(404, "Repository not found", "RepoNotFound")
    : refuse(401, "Invalid username or password.", "RepoNotFound");
}

export function findWritable(c: HubContext, repo: Repo | undefined): Repo | Response {
  const readable = findReadable(c, repo);
  if (readable instanceof Response) return readable;
  const user = c.get("user");
  if (!user) return refuse(401, "Invalid username or password.");
  if (!belongs(user, readable.namespace) || user.role !== "write") {
    return refuse(403, "Forbidden: you must use a write token to upload to a repository.");
  }
  return readable;
}

/** Whether a namespace is the user's, or an organisation's of which they are a member. */
export function belongs(user: HubUser | null, namespace: string): boolean {
  return user !== null && (user.name === namespace || user.orgs.includes(namespace));
}

function userOf(c: HubContext, state: HubState): HubUser | null {
  const token = c.req.header("authorization")?.match(/^Bearer (.+)$/)?.[1];
  const uploadOf = new URL(c.req.url).searchParams.get("owner"); // signed URLs have no token, but name their owner
  return state.users.find((user) => token ? user.token === token : user.name === uploadOf) ?? null;
}

function refusalOf(
  c: HubContext,
  state: HubState,
  options: { user: HubUser | null; overLimit: boolean; signed: boolean },
): Response | null {
  const { user } = options;
  if (user?.state === "gone") {
    state.breakConnection(c.env.remoteAddr.port);
    return new Response(null, { status: 500 });
  }
  if (options.signed) return null;
  if (options.overLimit) return refuse(429, "We had to rate limit you. Please try again later.");
  if (user?.state === "revoked" || (c.req.header("authorization") && !user)) {
    return refuse(401, "Invalid username or password.");
  }
  if (user?.state === "flagged") {
    return refuse(403, "This account has been flagged for abuse of the platform. Contact support.");
  }
  return null;
}

async function withEffect(c: HubContext, state: HubState, next: () => Promise<void>): Promise<void> {
  const effect = c.get("effect");
  const cut = () => state.breakConnection(c.env.remoteAddr.port);
  switch (effect?.do) {
    case "respond": {
      await c.req.raw.body?.cancel();
      const body = effect.body === "json"
        ? { type: "application/json; charset=utf-8", text: JSON.stringify({ error: effect.message }) }
        : effect.body === "html"
        ? { type: "text/html", text: `<html><body><h1>${effect.status} ${effect.message}</h1></body></html>` }
        : { type: "application/xml", text: `<?xml version="1.0"?><Error><Code>${effect.message}</Code></Error>` };
      const headers = new Headers({ "content-type": body.type });
      for (const [name, value] of Object.entries(effect.headers ?? {})) headers.set(name, value);
      c.res = new Response(body.text, { status: effect.status, headers });
      return;
    }
    case "reset":
      cut();
      c.res = new Response(null, { status: 500 });
      return;
    case "hang":
      await untilGone(c, state);
      c.res = new Response(null, { status: 500 });
      return;
    case "landed":
      await next();
      c.res = new Response("<html><body><h1>504 Gateway Timeout</h1></body></html>", {
        status: effect.status,
        headers: { "content-type": "text/html" },
      });
      return;
    case "landed_reset":
      await next();
      cut();
      return;
    default:
      await next();
  }
}

/** Waits until the client closes the connection or the hub stops. */
export async function untilGone(c: HubContext, state: HubState): Promise<void> {
  if (state.stopping.aborted) return;
  const stopped = new Promise<void>((resolve) =>
    state.stopping.addEventListener("abort", () => resolve(), { once: true })
  );
  await Promise.race([stopped, state.hungUp(c.env.remoteAddr.port)]);
}
