// The Worker's routes.
import { clientNetwork } from "../core/client_network.ts";
import { redactText } from "../core/redact.ts";
import { PREFLIGHT } from "./http/headers.ts";
import { deepHealth, health } from "./health.ts";
import { problemResponse } from "./http/problem.ts";
import type { Invocation } from "./invocation.ts";
import { proxy } from "./proxy/proxy.ts";

export async function handle(request: Request, invocation: Invocation): Promise<Response> {
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: PREFLIGHT });
  if (request.method !== "GET" && request.method !== "HEAD") {
    const headers = { Allow: "GET, HEAD, OPTIONS" };
    return problemResponse({ status: 405, code: "method_not_allowed", detail: "use GET, HEAD or OPTIONS", headers });
  }
  const url = new URL(request.url);
  switch (url.pathname) {
    case "/proxy":
      return await rateLimited(request, invocation) ?? await proxy(request, url, invocation);
    case "/health":
      if (url.searchParams.get("deep") !== "1") return health([]);
      return await rateLimited(request, invocation) ?? await deepHealth(invocation);
    default:
      return problemResponse({ status: 404, code: "not_found", detail: "no route has this path" });
  }
}

/** 429 for a client over the limit; null otherwise, also if the optional binding is missing. */
async function rateLimited(request: Request, { env }: Invocation): Promise<Response | null> {
  if (env.RATE_LIMIT === undefined) return null;
  const key = clientNetwork(request.headers.get("cf-connecting-ip") ?? "unknown");
  try {
    if ((await env.RATE_LIMIT.limit({ key })).success) return null;
  } catch (error) {
    // A failing limiter must not stop playback.
    console.error(JSON.stringify({ event: "ratelimit:failed", error: redactText(String(error)) }));
    return null;
  }
  const headers = { "Retry-After": "60" };
  return problemResponse({ status: 429, code: "rate_limited", detail: "too many requests from this address", headers });
}
