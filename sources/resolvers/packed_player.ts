// Resolver `packed-player`: the player is configured in a packed script that contains HLS URLs.
// Example, unpacked: links = { "hls2": "https://cdn.test/…/master.m3u8?t=…", "hls4": "/stream/…/master.m3u8" }.
// The URL is bound to the network that requested it, so the runner resolves it again. Runs on: Deno, edge runtime.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { expiryOf } from "../page/expiry.ts";
import { mediaKind } from "../page/media_kind.ts";
import { SourceError } from "../source_error.ts";
import { directMedia } from "./direct.ts";
import { unpackScripts } from "./packed_script.ts";
import type { EmbedPage, Resolved } from "./resolver.ts";
import { scriptMedia } from "./script_media.ts";
import { propertyStrings } from "../page/script_strings.ts";

/** In order of preference; hls3 is a playlist with the extension .txt. */
const LINKS = ["hls2", "hls4", "hls3"];

export function resolvePackedPlayer({ html, url }: EmbedPage): Resolved | null {
  if (!html.includes("function(p,a,c,k,e,")) return null;
  const scripts = unpackScripts(html);
  for (const script of scripts) {
    const media = preferredLink(script, url) ?? firstMedia(script, url);
    if (media !== null) return { ...media, subtitles: scriptMedia(script, url).subtitles };
  }
  // The packed script may be an advertisement next to a plain player: leave the page to other resolvers.
  if (scripts.length > 0) return null;
  throw new SourceError("parse", "the page's packed script cannot be unpacked");
}

function preferredLink(script: string, base: string): Resolved | null {
  const links = new Map(propertyStrings(script, LINKS).map(({ name, value }) => [name, parseHttpUrl(value, base)]));
  for (const name of LINKS) {
    const url = links.get(name);
    if (url) return hls(url, base);
  }
  return null;
}

function firstMedia(script: string, base: string): Resolved | null {
  const { urls } = scriptMedia(script, base);
  const playlist = urls.find((url) => mediaKind(url) === "hls");
  if (playlist) return hls(playlist, base);
  const file = urls.find((url) => mediaKind(url) !== null);
  return file ? directMedia(file, mediaKind(file)!, base) : null;
}

/** The multivariant playlist: player and runner select the variant. */
function hls(url: HttpUrl, base: string): Resolved {
  return { ...directMedia(url, "hls", base), expiresAt: expiryOf(url) };
}
