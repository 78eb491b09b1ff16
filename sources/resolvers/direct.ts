// Resolver `direct`: the URL is media, by its extension.
// Example: https://cdn.test/ep1.mp4 → { kind: "mp4" }. Runs on: Deno, edge runtime.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { expiryOf } from "../page/expiry.ts";
import { type MediaKind, mediaKind } from "../page/media_kind.ts";
import type { Resolved } from "./resolver.ts";

/** Null if the path has no media extension. */
export function resolveDirect(text: string): Resolved | null {
  const url = parseHttpUrl(text);
  const kind = url === null ? null : mediaKind(url);
  return url === null || kind === null ? null : directMedia(url, kind);
}

/** A URL that is known to be media. `referer` is the page where it was found. */
export function directMedia(url: HttpUrl, kind: MediaKind, referer?: string): Resolved {
  return {
    url,
    kind,
    headers: referer === undefined ? {} : { referer: `${new URL(referer).origin}/` },
    expiresAt: expiryOf(url),
    subtitles: [],
  };
}
