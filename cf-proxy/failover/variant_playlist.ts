// Finds a playlist under a new URL after its own has expired: a variant keeps its place below the multivariant playlist.
// Example: /old/720/m.m3u8 → the API names /new/master.m3u8 → the variant it lists as 720/m.m3u8.
import { parsePlaylist } from "../../core/hls/playlist.ts";
import { directoryCount, MAX_SCOPE_DIRECTORIES } from "../../core/link.ts";
import * as cache from "../cache/two_tier_cache.ts";
import { type EpisodeServer, serverKey } from "./api.ts";
import { listedPlaylists, readPlaylist } from "./fresh_playlists.ts";
import type { OriginRequest } from "./origin_fetch.ts";
import { directoryOf, nameOf, playlistFingerprint } from "./playlist_fingerprint.ts";
import { MULTIVARIANT, type RecordedPlaylist } from "./recorded.ts";

/**
 * The playlist at or below the server's fresh URL with the relative path of the expired one. Null if there is none, or more than one;
 * a multivariant playlist never replaces a variant.
 */
export async function matchVariantPlaylist(
  fresh: URL,
  origin: OriginRequest,
  server: EpisodeServer,
): Promise<URL | null> {
  const { url, scope } = origin.link;
  const recorded = await cache.get<RecordedPlaylist>("playlist", serverKey(server, url.href));
  if (recorded?.fingerprint === MULTIVARIANT) return fresh;
  const top = await readPlaylist(fresh.href, origin);
  const playlist = top === null ? null : parsePlaylist(top.text, top.url);
  if (top === null || !playlist?.ok) return null;
  const path = relativePath(url.href, scope ?? directoryOf(url));
  // A scope covers a limited number of directories, so a deeper path may start above the multivariant playlist.
  const isTruncated = scope !== null && directoryCount(new URL(scope)) === MAX_SCOPE_DIRECTORIES;
  const isSamePath = (other: string) => other === path || (isTruncated && path.endsWith(`/${other}`));
  const matches = listedPlaylists(playlist.value).filter((listed) =>
    isSamePath(relativePath(listed, directoryOf(fresh)))
  );
  if (matches.length > 0) return matches.length === 1 ? new URL(matches[0]!) : null;
  if (recorded !== null && playlist.value.kind === "multivariant") return null;
  if (isSamePath(nameOf(fresh))) return fresh;
  return recorded !== null && recorded.fingerprint === await playlistFingerprint(top.text) ? fresh : null;
}

/** `720/m.m3u8` of a URL below `directory`; otherwise its last segment. */
function relativePath(href: string, directory: string): string {
  const path = href.split("?", 1)[0]!;
  return path.startsWith(directory) ? path.slice(directory.length) : path.slice(path.lastIndexOf("/") + 1);
}
