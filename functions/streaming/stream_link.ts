// Media URL → signed link of the Worker. The link of a playlist or an MPD covers its directory, so that one signature serves all segments.
// Example: https://cdn.test/hls/1/master.m3u8 → https://worker.test/proxy?url=…&exp=…&sc=2&sig=…. Runs on: Deno, edge runtime.
import { KeepstreamError } from "../../core/errors.ts";
import { LruCache } from "../../core/lru_cache.ts";
import {
  directoryCount,
  hasEncodedSeparator,
  type LinkContext,
  scopePrefix,
  sealContext,
  type SigningKeys,
  signLink,
  signTail,
} from "../../core/link.ts";

const MAX_SCOPE_DIRECTORIES = 8;
/** Signing takes three WebCrypto calls, and a link stays the same for a quarter of its lifetime. */
const MAX_CACHED = 5_000;

export interface StreamLinkInput {
  readonly url: string;
  readonly kind: string | null;
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly megaKey?: string | null;
  /** The URL is an archive on one of the operator's storage targets, read with the operator's credentials. */
  readonly archive?: true;
  /** The Worker serves the URL as WebVTT. */
  readonly subtitles?: true;
  readonly episode: NonNullable<LinkContext["episode"]>;
}

export interface ArchiveLinkInput {
  /** The archive's file. */
  readonly url: string;
  /** File keys, the main one first: see LinkContext. */
  readonly files: readonly string[];
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly episode: NonNullable<LinkContext["episode"]>;
}

export interface StreamLinks {
  /** Null if URL and headers are too long for a link. */
  sign(input: StreamLinkInput): Promise<string | null>;
  /**
   * One signature for the files beside an archive: returns the link for a file's name. Null if the URL has no directory that can be
   * signed.
   */
  signArchive(input: ArchiveLinkInput): Promise<((name: string) => string) | null>;
}

export function createStreamLinks(options: { proxyBaseUrl: string; keys: SigningKeys }): StreamLinks {
  const signed = new LruCache<string | null>({ maxEntries: MAX_CACHED });

  async function sign({ url, kind, expiresAt, headers, megaKey, archive, subtitles, episode }: StreamLinkInput) {
    const scopeDirectories = kind === "hls" || kind === "dash" ? playlistScope(new URL(url)) : null;
    const context = {
      ...(headers && { headers }),
      ...(megaKey && { megaKey }),
      ...(archive && { archive }),
      ...(subtitles && { subtitles }),
      episode,
    };
    const scope = scopeDirectories !== null && { scopeDirectories };
    try {
      return await signLink({ ...options, url, expiresAt, ...scope, context });
    } catch (error) {
      if (error instanceof KeepstreamError && error.code === "too_large") return null;
      throw error;
    }
  }

  async function signDirectory(directory: URL, { files, expiresAt, episode }: ArchiveLinkInput) {
    const scopeDirectories = directoryCount(directory);
    if (scopePrefix(directory, scopeDirectories) === null) return null;
    const { keys } = options;
    const sealed = await sealContext({ archive: true, files, episode }, keys);
    return await signTail(directory, { keys, expiresAt, scopeDirectories, sealed });
  }

  async function once(name: string, make: () => Promise<string | null>): Promise<string | null> {
    const known = signed.get(name);
    if (known !== undefined) return known;
    const link = await make();
    signed.set(name, link);
    return link;
  }

  return {
    sign: (input) => once(JSON.stringify(input), () => sign(input)),
    async signArchive(input) {
      const directory = new URL("./", input.url);
      const name = JSON.stringify({ ...input, url: directory.href });
      const tail = await once(name, () => signDirectory(directory, input));
      if (tail === null) return null;
      // The URL stands last, because some players look for an extension at the end.
      const head = `${options.proxyBaseUrl.replace(/\/+$/, "")}/proxy?${tail}&url=`;
      return (file) => head + encodeURIComponent(directory.href + file);
    },
  };
}

/** Depth of the playlist's directory; null (exact URL) if it is the root or the path is ambiguous (encoded separators). */
function playlistScope(url: URL): number | null {
  const directories = directoryCount(url);
  return directories < 1 || hasEncodedSeparator(url.pathname) ? null : Math.min(directories, MAX_SCOPE_DIRECTORIES);
}
