/**
 * What a browser will use a response for (Sec-Fetch-Dest, Service-Worker). The proxy serves content of unknown origin, so nothing may
 * run as a script, worker or style sheet on the proxy's origin, and only media may be shown as a page (a video opened in a tab).
 */

/** `media`: a player, or a client that is no browser. `page`: shown by itself. `code`: run. */
export type Destination = "media" | "page" | "code";

const MEDIA: ReadonlySet<string> = new Set(["audio", "empty", "image", "track", "video"]);
const PAGES: ReadonlySet<string> = new Set(["document", "embed", "fencedframe", "frame", "iframe", "object"]);

export function destinationOf(headers: Headers): Destination {
  if (headers.has("service-worker")) return "code";
  const destination = headers.get("sec-fetch-dest")?.toLowerCase();
  if (destination === undefined || MEDIA.has(destination)) return "media";
  // Destinations that future browsers add count as code.
  return PAGES.has(destination) ? "page" : "code";
}
