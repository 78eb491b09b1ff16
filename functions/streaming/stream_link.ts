// Media URL → signed link of the Worker. The link of a playlist or an MPD covers its directory, so that one signature serves all segments.
// Example: https://cdn.test/hls/1/master.m3u8 → https://worker.test/proxy?url=…&exp=…&sc=2&sig=…. Runs on: Deno, edge runtime.
import { KeepstreamError } from "../../core/errors.ts";
import { LruCache } from "../../core/lru_cache.ts";
import { directoryCount, hasEncodedSeparator, type LinkContext, type SigningKeys, signLink } from "../../core/link.ts";

const MAX_SCOPE_DIRECTORIES = 8;
/** Signing takes three WebCrypto calls, and a link stays the same for a quarter of its lifetime. */
const MAX_CACHED = 2_000;

export interface StreamLinkInput {
  readonly url: string;
  readonly kind: string | null;
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly megaKey?: string | null;
  /** The URL is an archive on one of the operator's storage targets, read with the operator's credentials. */
  readonly archive?: true;
  readonly episode: NonNullable<LinkContext["episode"]>;
}

export interface StreamLinks {
  /** Null if URL and headers are too long for a link. */
  sign(input: StreamLinkInput): Promise<string | null>;
}

export function createStreamLinks(options: { proxyBaseUrl: string; keys: SigningKeys }): StreamLinks {
  const signed = new LruCache<string | null>({ maxEntries: MAX_CACHED });

  async function sign({ url, kind, expiresAt, headers, megaKey, archive, episode }: StreamLinkInput) {
    const scopeDirectories = kind === "hls" || kind === "dash" ? playlistScope(new URL(url)) : null;
    const context = {
      ...(headers && { headers }),
      ...(megaKey && { megaKey }),
      ...(archive && { archive }),
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

  return {
    async sign(input) {
      const name = JSON.stringify(input);
      const known = signed.get(name);
      if (known !== undefined) return known;
      const link = await sign(input);
      signed.set(name, link);
      return link;
    },
  };
}

/** Depth of the playlist's directory; null (exact URL) if it is the root or the path is ambiguous (encoded separators). */
function playlistScope(url: URL): number | null {
  const directories = directoryCount(url);
  return directories < 1 || hasEncodedSeparator(url.pathname) ? null : Math.min(directories, MAX_SCOPE_DIRECTORIES);
}
