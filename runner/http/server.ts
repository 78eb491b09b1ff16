/**
 * The runner's HTTP server. It is node:http because Deno.serve waits for a request's headers for ever, so that a client with half a
 * header holds a connection as long as it likes. Runs on: Deno.
 * Example: `await using server = await listen(app.fetch, { hostname: "0.0.0.0", port: 7860 })`.
 */
import { createAdaptorServer } from "@hono/node-server";
import type { AddressInfo } from "node:net";
import type { Server } from "node:http";

/** How long a client may take for the headers of a request. The trigger's body has a limit of its own. */
export const HEADERS_TIMEOUT_MS = 10_000;
/** … and for a whole request: more than any body that is read here may take. */
const REQUEST_TIMEOUT_MS = 30_000;
const CHECK_MS = 1000;

export type HttpServer = {
  readonly port: number;
  /** No new requests; those under way get `ms` to end. */
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
