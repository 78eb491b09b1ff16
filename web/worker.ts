/**
 * The watch page: static files, and where the public API is (`GET /config.json`). A Worker of its own, because the page must not
 * share an origin with the proxy, which serves what strangers wrote.
 */

export interface Env {
  readonly ASSETS: { fetch(request: Request): Promise<Response> };
  /** The functions' URL, which the page fills in when its own URL names no other. */
  readonly PUBLIC_API_URL?: string;
}

/** Everything is our own but media and API responses, which may come from any URL the viewer types in. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
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
    return new Response("only GET and HEAD\n", { status: 405, headers: { Allow: "GET, HEAD" } });
  }
  if (new URL(request.url).pathname === "/config.json") {
    const headers = { "Cache-Control": "no-cache" };
    return Response.json({ api_url: env.PUBLIC_API_URL?.replace(/\/+$/, "") || null }, { headers });
  }
  const asset = await env.ASSETS.fetch(request);
  return new Response(asset.body, asset);
}
