// Where a copy lies in the Hub: repository, path, and the address a reader asks for it.
// Example: { repo: "ana/anime-55825", path: "55825/ep1/9f….mp4" }; the path is the same on every account.
// Runs on: Deno, edge runtime, workerd.

export interface ArchiveAddress {
  /** `{username}/{prefix}-{malId}`, a dataset repository. */
  readonly repo: string;
  /** `{malId}/ep{episode}/{fileKey}.mp4` */
  readonly path: string;
}

export interface ArchiveAddressInput {
  readonly username: string;
  readonly prefix: string;
  readonly malId: number;
  readonly episode: number;
  readonly fileKey: string;
}

export function archiveAddress(input: ArchiveAddressInput): ArchiveAddress {
  const { username, prefix, malId, episode, fileKey } = input;
  return { repo: `${username}/${prefix}-${malId}`, path: `${malId}/ep${episode}/${fileKey}.mp4` };
}

/** The Hub's resolve address of a copy; `endpoint` without a slash at its end, revision `main`. */
export function archiveUrl(endpoint: string, address: ArchiveAddress): string {
  const path = address.path.split("/").map(encodeURIComponent).join("/");
  return `${endpoint.replace(/\/+$/, "")}/datasets/${address.repo}/resolve/main/${path}`;
}

export interface HubFile {
  readonly owner: string;
  /** Name of the repository without its owner. */
  readonly name: string;
  /** `/resolve/{revision}/{path}` as it stood in the address. */
  readonly rest: string;
}

/** The parts of a Hub resolve address, or null for any other address; `hubOrigin` as in `https://huggingface.co`. */
export function parseArchiveUrl(url: URL, hubOrigin: string): HubFile | null {
  if (url.origin !== hubOrigin) return null;
  const match = /^\/datasets\/([A-Za-z0-9._-]+)\/([A-Za-z0-9._-]+)(\/resolve\/.+)$/.exec(url.pathname);
  if (match === null) return null;
  const [, owner, name, rest] = match;
  return { owner: owner!, name: name!, rest: rest! };
}
