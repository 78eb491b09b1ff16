// The static watch page, with the headers a page needs.
// Runs on: workerd.
import type { Env } from "./env.ts";
import { problem } from "./problem.ts";

/** Everything is our own but media and API answers, which may come from any address the viewer types in. */
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

export async function assetAnswer(request: Request, env: Env): Promise<Response> {
  const asset = env.ASSETS === undefined ? null : await env.ASSETS.fetch(request);
  if (asset === null || asset.status === 404) {
    await asset?.body?.cancel();
    return problem({ status: 404, code: "not_found", detail: "there is nothing at this address" });
  }
  const answer = new Response(asset.body, asset);
  answer.headers.set("Content-Security-Policy", PAGE_POLICY);
  answer.headers.set("X-Content-Type-Options", "nosniff");
  answer.headers.set("Referrer-Policy", "no-referrer");
  return answer;
}
