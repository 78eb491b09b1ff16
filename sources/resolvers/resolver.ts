// The interface of resolvers: an embed page → its media, or null if the page is of another kind.
// Runs on: Deno, edge runtime.
import type { HttpUrl } from "../../core/http_url.ts";
import type { MediaKind } from "../page/media_kind.ts";
import type { PageClient } from "../fetch/page_client.ts";
import type { FoundSubtitle } from "../source_list.ts";

export interface Resolved {
  readonly url: HttpUrl;
  readonly kind: MediaKind;
  /** Request headers for the media host, such as Referer. */
  readonly headers: Readonly<Record<string, string>>;
  /** Unix seconds; null if unknown. */
  readonly expiresAt: number | null;
  readonly subtitles: readonly FoundSubtitle[];
  /** `mega`: 32 bytes (base64url, as in the link's fragment) from which key, counter and MAC follow; the bytes are encrypted. */
  readonly megaKey?: string;
  readonly sizeBytes?: number;
}

export interface EmbedPage {
  readonly url: string;
  readonly html: string;
}

/** @throws {SourceError} if the page is of this resolver's kind and has nothing playable */
export type PageResolver = (page: EmbedPage, pages: PageClient) => Resolved | null | Promise<Resolved | null>;
