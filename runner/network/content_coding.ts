/**
 * Unpacks responses of hosts that compress although `identity` was requested. Deno's fetch does not unpack those, nor deflate and zstd.
 * Example: `unpackResponse(response, url)` → the response with a plain body, or a KeepstreamError that names the coding.
 */
import { type Duplex, pipeline, Readable } from "node:stream";
import * as zlib from "node:zlib";
import { KeepstreamError } from "../../core/errors.ts";
import { redactUrl } from "../../core/redact.ts";

const MAX_CODINGS = 3;
const NAMES: Readonly<Record<string, string>> = { br: "brotli", "x-gzip": "gzip" };

/** The caller limits the unpacked bytes while it reads them. */
export function unpackResponse(response: Response, url: string): Response {
  const codings = codingsOf(response);
  if (codings.length === 0 || response.body === null) return response;
  const unknown = codings.length > MAX_CODINGS ? "too many codings" : codings.find((name) => !isKnown(name));
  if (unknown !== undefined) {
    response.body.cancel().catch(() => {});
    throw new KeepstreamError(
      "unsupported",
      `${redactUrl(url)} is compressed with ${unknown.slice(0, 40)}, which cannot be unpacked`,
    );
  }
  let body: AsyncIterable<Uint8Array> = response.body;
  for (const name of codings.toReversed()) body = unpack(body, name, url);
  const headers = new Headers(response.headers);
  headers.delete("content-length"); // of the compressed bytes
  return new Response(ReadableStream.from(body), { status: response.status, headers });
}

/** In the order in which they were applied (RFC 9110 §8.4). */
export function codingsOf(response: Response): string[] {
  return (response.headers.get("content-encoding") ?? "").toLowerCase().split(",")
    .map((name) => name.trim()).filter((name) => name !== "" && name !== "identity" && name !== "none");
}

function isKnown(name: string): boolean {
  return ["gzip", "x-gzip", "deflate", "br", "zstd"].includes(name);
}

function createDecoder(name: string, first: Uint8Array): Duplex {
  switch (name) {
    case "br":
      return zlib.createBrotliDecompress();
    case "zstd":
      return zlib.createZstdDecompress();
    case "deflate":
      // zlib's header by definition, but some hosts send raw deflate, which browsers accept.
      return (first[0]! & 0x0f) === 8 ? zlib.createInflate() : zlib.createInflateRaw();
    default:
      return zlib.createGunzip();
  }
}

/** Deno's brotli and zstd decoders report no early end: Content-Length, #EXT-X-ENDLIST and the checks of segments do. */
async function* unpack(body: AsyncIterable<Uint8Array>, name: string, url: string): AsyncGenerator<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done) return;
  const decoder = createDecoder(name, first.value);
  let sourceFailed = false;
  const source = Readable.from(startingWith(first.value, iterator));
  source.on("error", () => sourceFailed = true);
  pipeline(source, decoder, () => {}); // the decoder's reader sees the error
  try {
    // Copied, because zlib's chunks share a buffer, and readers release theirs.
    for await (const chunk of decoder) yield new Uint8Array(chunk);
  } catch (cause) {
    if (sourceFailed) throw cause;
    const cut = (cause as { code?: unknown }).code === "Z_BUF_ERROR";
    const reason = cut ? "it ends early" : `it is not ${NAMES[name] ?? name}`;
    throw new KeepstreamError(
      cut ? "network" : "unsupported",
      `${redactUrl(url)} cannot be unpacked: ${reason} (content-encoding: ${name})`,
      { cause },
    );
  }
}

async function* startingWith(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for (let next: IteratorResult<Uint8Array> = { value: first }; !next.done; next = await rest.next()) {
      yield next.value;
    }
  } finally {
    await rest.return?.();
  }
}
