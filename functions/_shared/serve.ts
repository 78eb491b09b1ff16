// The handler that the entry points pass to Deno.serve. Runs on: Deno, edge runtime.
import type { Hono } from "hono";

/** IP address of the connection, from the info that Deno.serve passes with a request; null in tests without a connection. */
export function connectionAddress(info: unknown): string | null {
  const { remoteAddr } = (info ?? {}) as Partial<Deno.ServeHandlerInfo>;
  return remoteAddr !== undefined && "hostname" in remoteAddr ? remoteAddr.hostname : null;
}

/** Omits Content-Length from HEAD responses: Deno would send 0, which is not the length of GET. */
export function handlerOf(app: Pick<Hono, "fetch">): (request: Request, info?: object) => Promise<Response> {
  return async (request, info) => {
    const response = await app.fetch(request, info ?? {});
    if (request.method !== "HEAD" || response.status === 304) return response;
    return new Response(new ReadableStream({ start: (controller) => controller.close() }), response);
  };
}
