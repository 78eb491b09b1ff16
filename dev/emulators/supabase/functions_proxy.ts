/**
 * Forwards `/functions/v1/<name>/*` to the function's process like Supabase's edge gateway: the function sees
 * `/<name>/*`, the client address is in `x-forwarded-for`, and HTML arrives as text/plain.
 */

const HOP_BY_HOP = ["connection", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"];

export async function proxyFunction(
  request: Request,
  options: { path: string; functions: ReadonlyMap<string, string>; clientAddress: string },
): Promise<Response> {
  const name = /^\/([^/]+)/.exec(options.path)?.[1] ?? "";
  const base = options.functions.get(name);
  if (base === undefined) return refuse(404, "NOT_FOUND", "Requested function was not found");
  const url = new URL(request.url);
  const headers = new Headers(request.headers);
  for (const header of [...HOP_BY_HOP, "host"]) headers.delete(header);
  headers.set("x-forwarded-for", options.clientAddress);
  headers.set("x-forwarded-host", url.host);
  headers.set("x-forwarded-proto", url.protocol.slice(0, -1));
  headers.set("accept-encoding", "identity"); // the body is forwarded unchanged
  let response: Response;
  try {
    response = await fetch(new URL(options.path + url.search, base), {
      method: request.method,
      headers,
      body: request.body,
      redirect: "manual",
    });
  } catch {
    await request.body?.cancel().catch(() => {});
    return refuse(503, "BOOT_ERROR", "Function failed to start (please check logs)");
  }
  const responseHeaders = new Headers(response.headers);
  for (const header of HOP_BY_HOP) responseHeaders.delete(header);
  if (responseHeaders.get("content-type")?.startsWith("text/html")) responseHeaders.set("content-type", "text/plain");
  return new Response(response.body, { status: response.status, headers: responseHeaders });
}

function refuse(status: number, code: string, message: string): Response {
  return Response.json({ code, message }, { status });
}
