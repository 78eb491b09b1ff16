// Resolver `direct`: the address already is media, by its extension or by what the server says it is.
// Example: https://cdn.test/ep1.mp4 → { kind: "mp4" }. Runs on: Deno, edge runtime.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { expiryOf } from "../page/expiry.ts";
import { type MediaKind, mediaKind } from "../page/media_kind.ts";
import type { Resolved } from "./resolver.ts";

/** The address as it is, or null when its path does not end like media. */
export function resolveDirect(address: string): Resolved | null {
  const url = parseHttpUrl(address);
  const kind = url === null ? null : mediaKind(url);
  return url === null || kind === null ? null : directMedia(url, kind);
}

/** An address that is known to be media. `referer` is the page it was found on. */
export function directMedia(url: HttpUrl, kind: MediaKind, referer?: string): Resolved {
  return {
    url,
    kind,
    headers: referer === undefined ? {} : { referer: `${new URL(referer).origin}/` },
    expiresAt: expiryOf(url),
    subtitles: [],
  };
}
