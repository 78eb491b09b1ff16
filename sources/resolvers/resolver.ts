// What a resolver returns.
// Runs on: Deno, edge runtime.
import type { HttpUrl } from "../../core/http_url.ts";
import type { MediaKind } from "../page/media_kind.ts";
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
  /** The page's label of the chosen quality, such as "1080p". */
  readonly quality?: string;
  /** Family and shape that found it: `jwplayer: setup-sources`. */
  readonly shape?: string;
}
