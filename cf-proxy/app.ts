// The Worker's routes.
// Runs on: workerd.
import { clientNetwork } from "../core/client_network.ts";
import { redactText } from "../core/redact.ts";
import { PREFLIGHT } from "./http/headers.ts";
import { deepHealth, health } from "./health.ts";
import { problem } from "./http/problem.ts";
import type { Invocation } from "./invocation.ts";
import { proxy } from "./proxy/proxy.ts";

export async function handle(request: Request, invocation: Invocation): Promise<Response> {
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: PREFLIGHT });
  if (request.method !== "GET" && request.method !== "HEAD") {
    const headers = { Allow: "GET, HEAD, OPTIONS" };
    return problem({ status: 405, code: "method_not_allowed", detail: "only GET, HEAD and OPTIONS", headers });
  }
  const url = new URL(request.url);
  switch (url.pathname) {
    case "/proxy":
      return await limited(request, invocation) ?? await proxy(request, url, invocation);
    case "/health":
      if (url.searchParams.get("deep") !== "1") return health([]);
      return await limited(request, invocation) ?? await deepHealth(invocation);
    default:
      return problem({ status: 404, code: "not_found", detail: "there is nothing at this address" });
  }
}

/** A refusal when one address asks too often; null to go on. The binding is optional. */
async function limited(request: Request, { env }: Invocation): Promise<Response | null> {
  if (env.RATE_LIMIT === undefined) return null;
  const key = clientNetwork(request.headers.get("cf-connecting-ip") ?? "unknown");
  try {
    if ((await env.RATE_LIMIT.limit({ key })).success) return null;
  } catch (error) {
    // A limiter that fails must not stop playback.
    console.error(JSON.stringify({ event: "ratelimit:failed", error: redactText(String(error)) }));
    return null;
  }
  const headers = { "Retry-After": "60" };
  return problem({ status: 429, code: "rate_limited", detail: "too many requests from this address", headers });
}
