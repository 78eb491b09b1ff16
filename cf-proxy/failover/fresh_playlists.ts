// Reads the playlists at and below a server's fresh URL.
import { parsePlaylist, type Playlist } from "../../core/hls/playlist.ts";
import { checkUrl } from "../../core/url_policy.ts";
import { sourceRequestHeaders } from "../http/headers.ts";
import { fetchUpstream, type Upstream } from "../http/upstream.ts";
import { readText } from "../playlist/read_text.ts";
import type { OriginRequest } from "./origin_fetch.ts";
import { isMultivariant } from "./playlist_fingerprint.ts";

/** Playlists that are read below one multivariant playlist. */
const MAX_PLAYLISTS = 12;

export interface FreshPlaylist {
  readonly text: string;
  /** After redirects. */
  readonly url: URL;
}

/** The playlist at a fresh URL and, if it is a multivariant playlist, those that it lists. */
export async function* freshPlaylists(fresh: URL, origin: OriginRequest): AsyncGenerator<FreshPlaylist> {
  const top = await readPlaylist(fresh.href, origin);
  if (top === null) return;
  yield top;
  if (!isMultivariant(top.text)) return;
  const playlist = parsePlaylist(top.text, top.url);
  if (!playlist.ok) return;
  for (const url of listedPlaylists(playlist.value).slice(0, MAX_PLAYLISTS)) {
    const listed = await readPlaylist(url, origin);
    if (listed !== null) yield listed;
  }
}

/** The URLs of a multivariant playlist's variants and renditions. */
export function listedPlaylists(playlist: Playlist): readonly string[] {
  if (playlist.kind !== "multivariant") return [];
  return [...new Set([...playlist.variants, ...playlist.renditions].flatMap(({ url }) => url ?? []))];
}

export async function readPlaylist(url: string, origin: OriginRequest): Promise<FreshPlaylist | null> {
  const upstream = await fetchFresh(url, origin);
  if (upstream === null) return null;
  const text = await readText(upstream.response, origin.options.headerTimeoutMs);
  return text.ok ? { text: text.value, url: upstream.url } : null;
}

/** Fetches a fresh URL without the viewer's headers; null unless the response is successful. */
export async function fetchFresh(
  url: string,
  { link, options }: OriginRequest,
  range?: string,
): Promise<Upstream | null> {
  const allowed = checkUrl(url, options.policy);
  if (!allowed.ok) return null;
  const headers = sourceRequestHeaders({ client: new Headers(), context: link.context.headers, whole: true });
  if (range !== undefined) headers.range = range;
  const upstream = await fetchUpstream({ url: allowed.value, method: "GET", headers }, options);
  if (!upstream.ok) return null;
  if (upstream.value.response.status < 300) return upstream.value;
  await upstream.value.response.body?.cancel();
  return null;
}
