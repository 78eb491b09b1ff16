// Resolver `packed-player`: the player's set-up is a packed script that names HLS addresses.
// Example, unpacked: links = { "hls2": "https://cdn.test/…/master.m3u8?t=…", "hls4": "/stream/…/master.m3u8" }.
// The address is good for the network it was made for: whoever downloads resolves again. Runs on: Deno, edge runtime.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { expiryOf } from "../page/expiry.ts";
import { mediaKind } from "../page/media_kind.ts";
import { SourceError } from "../source_error.ts";
import { directMedia } from "./direct.ts";
import { unpackScripts } from "./packed_script.ts";
import type { EmbedPage, Resolved } from "./resolver.ts";
import { scriptMedia } from "./script_media.ts";
import { propertyStrings } from "../page/script_strings.ts";

/** In order of preference; hls3 is a playlist that calls itself .txt. */
const LINKS = ["hls2", "hls4", "hls3"];

export function resolvePackedPlayer({ html, url }: EmbedPage): Resolved | null {
  if (!html.includes("function(p,a,c,k,e,")) return null;
  const scripts = unpackScripts(html);
  for (const script of scripts) {
    const media = preferredLink(script, url) ?? firstMedia(script, url);
    if (media !== null) return { ...media, subtitles: scriptMedia(script, url).subtitles };
  }
  // The page may carry a packed advertisement beside a plain player: another resolver has a look.
  if (scripts.length > 0) return null;
  throw new SourceError("parse", "the page's packed script cannot be unpacked");
}

function preferredLink(script: string, base: string): Resolved | null {
  const links = new Map(propertyStrings(script, LINKS).map(({ name, value }) => [name, parseHttpUrl(value, base)]));
  for (const name of LINKS) {
    const address = links.get(name);
    if (address) return hls(address, base);
  }
  return null;
}

function firstMedia(script: string, base: string): Resolved | null {
  const { addresses } = scriptMedia(script, base);
  const playlist = addresses.find((address) => mediaKind(address) === "hls");
  if (playlist) return hls(playlist, base);
  const file = addresses.find((address) => mediaKind(address) !== null);
  return file ? directMedia(file, mediaKind(file)!, base) : null;
}

/** The master playlist as it is: which variant is taken is the player's and the runner's choice. */
function hls(address: HttpUrl, base: string): Resolved {
  return { ...directMedia(address, "hls", base), expiresAt: expiryOf(address) };
}
