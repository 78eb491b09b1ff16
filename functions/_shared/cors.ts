// Browsers of any site may ask: no cookie counts here, and whoever sends a key has it. Runs on: Deno, edge runtime.
import { cors } from "hono/cors";

/** Allows whatever headers the preflight names: clients add new ones (x-region, traceparent, …) with every release. */
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
