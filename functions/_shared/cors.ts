// CORS for every origin: cookies are not used, so a page can only act with a key that it already has. Runs on: Deno, edge runtime.
import { cors } from "hono/cors";

/** Allows every header that the preflight names: new client releases add some (x-region, traceparent, …). */
export const allowAllOrigins = cors({
  origin: "*",
  allowMethods: ["GET", "HEAD", "POST", "PUT", "OPTIONS"],
  exposeHeaders: [
    "allow",
    "etag",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "server-timing",
    "www-authenticate",
    "x-request-id",
  ],
  maxAge: 86_400,
});
