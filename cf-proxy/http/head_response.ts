import { parseContentRange } from "../../core/http/range.ts";

/** The response to HEAD, made from a GET of the first byte: for servers that do not support HEAD, and URLs signed for GET only. */
export function toHeadResponse(response: Response): Response {
  const headers = new Headers(response.headers);
  response.body?.cancel().catch(() => {});
  if (response.status !== 206) return new Response(null, { status: response.status, headers });
  const size = parseContentRange(headers.get("content-range"))?.size ?? null;
  headers.delete("content-range");
  headers.delete("content-length");
  headers.set("accept-ranges", "bytes");
  if (size !== null) headers.set("content-length", String(size));
  return new Response(null, { status: 200, headers });
}
