// Direct address → signed link of the Worker. A playlist's link covers its directory, so that one signature serves its segments.
// Example: https://cdn.test/hls/1/master.m3u8 → https://worker.test/proxy?url=…&exp=…&sc=2&sig=…. Runs on: Deno, edge runtime.
import { directoryCount, hasEncodedSeparator, type LinkContext, type SigningKeys, signLink } from "../../core/link.ts";

const MAX_SCOPE_DIRECTORIES = 8;
const MAX_SERVER_ADDRESS = 1500;

export interface StreamLinkInput {
  readonly url: string;
  readonly kind: string | null;
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly megaKey?: string | null;
  /** The address is a copy in the operator's storage, to be read with the operator's credentials. */
  readonly archive?: true;
  readonly episode: NonNullable<LinkContext["episode"]>;
}

export interface StreamLinks {
  sign(input: StreamLinkInput): Promise<string>;
}

export function createStreamLinks(options: { proxyBaseUrl: string; keys: SigningKeys }): StreamLinks {
  return {
    sign({ url, kind, expiresAt, headers, megaKey, archive, episode }) {
      const scopeDirectories = kind === "hls" ? playlistScope(new URL(url)) : null;
      return signLink({
        ...options,
        url,
        expiresAt,
        ...(scopeDirectories !== null && { scopeDirectories }),
        context: {
          ...(headers && { headers }),
          ...(megaKey && { megaKey }),
          ...(archive && { archive }),
          // A very long embed address would not fit the link: it then only loses the Worker's way to ask again.
          ...(episode.server.length <= MAX_SERVER_ADDRESS && { episode }),
        },
      });
    },
  };
}

/** The playlist's own directory; null (exact) where it lies at the root or its path could be read in two ways. */
function playlistScope(url: URL): number | null {
  const directories = directoryCount(url);
  return directories < 1 || hasEncodedSeparator(url.pathname) ? null : Math.min(directories, MAX_SCOPE_DIRECTORIES);
}
