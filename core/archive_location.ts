// The location of a copy on the Hub: repository, path and URL.
// Example: { repo: "ana/anime-55825", path: "55825/ep1/9f….mp4" }; the path is the same on every account.

export interface ArchiveLocation {
  /** `{username}/{prefix}-{malId}`, a dataset repository. */
  readonly repo: string;
  /** `{malId}/ep{episode}/{fileKey}.mp4` */
  readonly path: string;
}

export interface ArchiveLocationInput {
  readonly username: string;
  readonly prefix: string;
  readonly malId: number;
  readonly episode: number;
  readonly fileKey: string;
}

export function archiveLocation(input: ArchiveLocationInput): ArchiveLocation {
  const { username, prefix, malId, episode, fileKey } = input;
  return { repo: `${username}/${prefix}-${malId}`, path: `${malId}/ep${episode}/${fileKey}.mp4` };
}

/** The Hub's resolve URL of a copy, at revision `main`. */
export function archiveUrl(endpoint: string, location: ArchiveLocation): string {
  const path = location.path.split("/").map(encodeURIComponent).join("/");
  return `${endpoint.replace(/\/+$/, "")}/datasets/${location.repo}/resolve/main/${path}`;
}

export interface HubFile {
  readonly owner: string;
  /** The repository's name without its owner. */
  readonly name: string;
  /** `/resolve/{revision}/{path}`, unchanged from the URL. */
  readonly rest: string;
}

/** The parts of a Hub resolve URL, or null for any other URL; `hubOrigin` as in `https://huggingface.co`. */
export function parseArchiveUrl(url: URL, hubOrigin: string): HubFile | null {
  if (url.origin !== hubOrigin) return null;
  const match = /^\/datasets\/([A-Za-z0-9._-]+)\/([A-Za-z0-9._-]+)(\/resolve\/.+)$/.exec(url.pathname);
  if (match === null) return null;
  const [, owner, name, rest] = match;
  return { owner: owner!, name: name!, rest: rest! };
}

/**
 * The episode of an archived file, from the end of its URL on any storage target: `…-{malId}/…/{malId}/ep{episode}/{fileKey}.mp4`.
 * Servers decode `%31` to 1 and treat `//` as a slash, so this does, too.
 */
export function archivedEpisode({ pathname }: URL): { readonly malId: number; readonly episode: number } | null {
  const path = pathname
    .replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)))
    .replace(/\/+/g, "/");
  const match = /\/(\d{1,10})\/ep(\d{1,6})\/[0-9a-f]{32}(?:\.[a-z0-9]+)+$/.exec(path);
  if (match === null || !path.includes(`-${match[1]}/`)) return null;
  return { malId: Number(match[1]), episode: Number(match[2]) };
}
