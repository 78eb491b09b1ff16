// What every entry hands to Deno.serve. Runs on: Deno, edge runtime.
import type { Hono } from "hono";

/** The connection's own address, of the info that Deno.serve gives with a request; null in tests without a connection. */
export function connectionAddress(info: unknown): string | null {
  const { remoteAddr } = (info ?? {}) as Partial<Deno.ServeHandlerInfo>;
  return remoteAddr !== undefined && "hostname" in remoteAddr ? remoteAddr.hostname : null;
}

/** Deno states a length of 0 for an empty body, which is not GET's: HEAD's length is left out. */
export function handlerOf(app: Pick<Hono, "fetch">): (request: Request, info?: object) => Promise<Response> {
  return async (request, info) => {
    const response = await app.fetch(request, info ?? {});
    if (request.method !== "HEAD" || response.status === 304) return response;
    return new Response(new ReadableStream({ start: (controller) => controller.close() }), response);
  };
}
