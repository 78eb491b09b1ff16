/**
 * The runner's HTTP server. It uses node:http because Deno.serve has no timeout for request headers.
 * Example: `await using server = await listen(app.fetch, { hostname: "0.0.0.0", port: 7860 })`.
 */
import { createAdaptorServer } from "@hono/node-server";
import type { AddressInfo } from "node:net";
import type { Server } from "node:http";

/** For the headers of a request. The trigger's body has its own timeout. */
export const HEADERS_TIMEOUT_MS = 10_000;
/** For a whole request. */
const REQUEST_TIMEOUT_MS = 30_000;
const CHECK_MS = 1000;

export type HttpServer = {
  readonly port: number;
  /** No new requests; running ones may finish within `ms`. */
  readonly stop: (ms: number) => Promise<void>;
};

export async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  options: { hostname: string; port: number; headersTimeoutMs?: number },
): Promise<HttpServer> {
  const server = createAdaptorServer({
    fetch,
    overrideGlobalObjects: false,
    serverOptions: {
      headersTimeout: options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_MS,
    },
  }) as Server;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(options.port, options.hostname, resolve);
  await promise;
  return {
    port: (server.address() as AddressInfo).port,
    stop: async (ms) => {
      const closed = new Promise<void>((done) => server.close(() => done()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), ms);
      await closed;
      clearTimeout(timer);
    },
  };
}
