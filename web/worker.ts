/**
 * The watch page: static files, and the public API's URL (`GET /config.json`). A separate Worker, because the page must not share an
 * origin with the proxy, which serves content of unknown origin.
 */

export interface Env {
  readonly ASSETS: { fetch(request: Request): Promise<Response> };
  /** The functions' URL. The page uses it unless its own URL has an `api` parameter. */
  readonly PUBLIC_API_URL?: string;
}

/** Only media and API responses may come from other origins: a viewer can enter any API URL. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src * data:",
  "media-src * blob:",
  "connect-src *",
  "worker-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const response = await respond(request, env);
    response.headers.set("Content-Security-Policy", PAGE_POLICY);
    response.headers.set("X-Content-Type-Options", "nosniff");
    response.headers.set("Referrer-Policy", "no-referrer");
    return response;
  },
};

async function respond(request: Request, env: Env): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response("use GET or HEAD\n", { status: 405, headers: { Allow: "GET, HEAD" } });
  }
  if (new URL(request.url).pathname === "/config.json") {
    const headers = { "Cache-Control": "no-cache" };
    return Response.json({ api_url: env.PUBLIC_API_URL?.replace(/\/+$/, "") || null }, { headers });
  }
  const asset = await env.ASSETS.fetch(request);
  return new Response(asset.body, asset);
}
