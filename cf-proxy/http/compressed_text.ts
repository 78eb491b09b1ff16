import { COMMON_HEADERS } from "./headers.ts";

/**
 * A text of the archive, compressed if the client accepts gzip: the runtime encodes a body whose header says so. Cloudflare's own
 * compression leaves out playlists and WebVTT.
 */
export function compressedText(
  { method, headers }: Request,
  text: string,
  { type, maxAgeSeconds }: { readonly type: string; readonly maxAgeSeconds: number },
): Response {
  const isCompressed = acceptsGzip(headers.get("accept-encoding"));
  return new Response(method === "HEAD" ? null : text, {
    headers: {
      ...COMMON_HEADERS,
      "Content-Type": type,
      "Cache-Control": `private, max-age=${maxAgeSeconds}`,
      vary: `${COMMON_HEADERS.vary}, Accept-Encoding`,
      ...(isCompressed && { "Content-Encoding": "gzip" }),
    },
  });
}

function acceptsGzip(header: string | null): boolean {
  return (header ?? "").split(",").some((one) => /^\s*(?:x-)?gzip\s*(?:;\s*q\s*=\s*(?!0(?:\.0*)?\s*$).*)?$/i.test(one));
}
