// What every resolver is: it looks at an embed page and either says "not mine" (null) or names the media behind it.
// Runs on: Deno, edge runtime.
import type { HttpUrl } from "../../core/http_url.ts";
import type { MediaKind } from "../page/media_kind.ts";
import type { PageClient } from "../fetch/page_client.ts";
import type { FoundSubtitle } from "../source_list.ts";

export interface Resolved {
  readonly url: HttpUrl;
  readonly kind: MediaKind;
  /** What the media host wants to see, such as a Referer. */
  readonly headers: Readonly<Record<string, string>>;
  /** Unix seconds, null where nothing says so. */
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

/** @throws {SourceError} when the page is this resolver's and has nothing playable. */
export type PageResolver = (page: EmbedPage, pages: PageClient) => Resolved | null | Promise<Resolved | null>;
