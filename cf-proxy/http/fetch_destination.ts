/**
 * What a browser wants a response for (Sec-Fetch-Dest, Service-Worker). The proxy's origin serves what strangers wrote: nothing
 * of it becomes a script, a worker or a style sheet, and only what plays becomes a page: a video opened in a tab.
 */

/** `media`: a player, or a program that is no browser. `page`: shown by itself. `code`: run. */
export type Destination = "media" | "page" | "code";

const MEDIA: ReadonlySet<string> = new Set(["audio", "empty", "image", "track", "video"]);
const PAGES: ReadonlySet<string> = new Set(["document", "embed", "fencedframe", "frame", "iframe", "object"]);

export function destinationOf(headers: Headers): Destination {
  if (headers.has("service-worker")) return "code";
  const destination = headers.get("sec-fetch-dest")?.toLowerCase();
  if (destination === undefined || MEDIA.has(destination)) return "media";
  // Whatever browsers call what they run in years to come: only what is known to be harmless is let through.
  return PAGES.has(destination) ? "page" : "code";
}
