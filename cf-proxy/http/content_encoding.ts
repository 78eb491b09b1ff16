// Content-Encoding of a source's response. The runtime decodes gzip and br; some hosts always send deflate, which it does not.
// Example: `content-encoding: deflate` → the decoded body; `content-encoding: zstd` → 502 encoding_unsupported, which names zstd.
import { err, ok, type Result } from "../../core/result.ts";
import { badGateway, type Problem } from "./problem.ts";

/** Values that some servers send for a body that is not encoded. */
const NONE: ReadonlySet<string> = new Set(["", "identity", "none", "utf-8", "binary"]);
const DECODED_BY_RUNTIME: ReadonlySet<string> = new Set(["gzip", "br"]);
const MAX_SHOWN = 40;

/** The response with its body decoded, or the reason why that is not possible. Cancels the body in that case. */
export async function decoded(response: Response): Promise<Result<Response, Problem>> {
  const header = response.headers.get("content-encoding");
  if (header === null || response.body === null) return ok(response);
  const encodings = header.toLowerCase().split(",").map((one) => one.trim()).filter((one) => !NONE.has(one));
  if (encodings.length === 0) return ok(withoutEncoding(response, response.body));
  const [only, ...others] = encodings as [string, ...string[]];
  if (others.length === 0 && DECODED_BY_RUNTIME.has(only)) return ok(response);
  if (others.length === 0 && only === "deflate" && response.status === 200) {
    return ok(await inflated(response, response.body));
  }
  await response.body.cancel();
  const shown = header.replace(/[^\x20-\x7e]/g, "?").slice(0, MAX_SHOWN);
  return err(
    badGateway("encoding_unsupported", `the source compresses with ${shown}; gzip, br and deflate can be read`),
  );
}

/** Keeps the length, which is that of the body. */
function withoutEncoding(response: Response, body: ReadableStream): Response {
  const headers = new Headers(response.headers);
  headers.delete("content-encoding");
  return new Response(body, { status: response.status, headers });
}

/** deflate is the zlib format (RFC 9110 §8.4.1.2), but some servers send raw deflate. */
async function inflated(response: Response, body: ReadableStream): Promise<Response> {
  const reader = body.getReader();
  const { done, value } = await reader.read();
  reader.releaseLock();
  if (done) return new Response(null, { status: response.status });
  const isZlib = value.length > 1 && (value[0] & 0x0f) === 8 && (value[0] * 256 + value[1]) % 31 === 0;
  const decoder = new DecompressionStream(isZlib ? "deflate" : "deflate-raw");
  // Rejects if the body is damaged; the reader of the decoded body learns of it.
  (async () => {
    const writer = decoder.writable.getWriter();
    await writer.write(value);
    writer.releaseLock();
    await body.pipeTo(decoder.writable);
  })().catch(() => {});
  // Like the runtime, keeps the header, which marks length and ranges as those of the encoded body.
  return new Response(decoder.readable, { status: response.status, headers: response.headers });
}
