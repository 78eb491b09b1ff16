/**
 * What can be played of an episode, from the public API's response: first one playlist of every archived quality per provider, then
 * each server. Example: `await readEpisode(url)` → [{ label: "animasu · every quality", archived: true, isHls: true, … }, …]
 */

export interface Subtitle {
  readonly url: string;
  readonly language?: string | null;
  readonly label?: string | null;
}

export interface Playable {
  readonly label: string;
  readonly url: string;
  readonly isHls: boolean;
  readonly archived: boolean;
  /** For a plain file; a playlist lists its own. */
  readonly subtitles: readonly Subtitle[];
  readonly poster: string | null;
}

interface Server {
  readonly provider: string;
  readonly stream: string | null;
  readonly archived?: boolean;
  readonly kind?: string | null;
  readonly hls?: string | null;
  readonly poster?: string | null;
  readonly subtitles?: readonly Subtitle[];
}

/** @throws {Error} if the API does not respond with an episode. */
export async function readEpisode(url: string): Promise<Playable[]> {
  const response = await fetch(url);
  const body = await response.json();
  if (!body.success) throw new Error(String(body.error ?? response.status));
  return Object.entries(body.data ?? {}).flatMap(([name, list]) => {
    const servers = (list ?? []) as readonly Server[];
    const master: string | null = body.providers?.[name]?.master ?? null;
    const poster = servers.find((server) => server.hls && server.poster)?.poster ?? null;
    const all = { label: `${name} · every quality`, isHls: true, archived: true, subtitles: [], poster };
    return [...(isWeb(master) ? [{ ...all, url: master }] : []), ...servers.flatMap(playable)];
  });
}

export function playable(server: Server): Playable[] {
  const { provider, stream, hls, kind, archived = false, poster = null } = server;
  const url = hls ?? stream;
  if (!isWeb(url)) return [];
  const isHls = url === hls || kind === "hls" || namesPlaylist(url);
  return [{ label: provider, url, isHls, archived, subtitles: isHls ? [] : server.subtitles ?? [], poster }];
}

function isWeb(url: string | null | undefined): url is string {
  return url != null && /^https?:/.test(url);
}

function namesPlaylist(url: string): boolean {
  const target = new URL(url).searchParams.get("url") ?? url;
  return /\.m3u8?(?:$|[?#])|m3u8/i.test(target);
}
