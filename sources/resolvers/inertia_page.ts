// Resolver `inertia-page`: a page with its state as JSON in an attribute, `data-page="{&quot;props&quot;:{&quot;url&quot;:…}}"`.
// Example: props.url = "https://cdn.test/v.mp4?X-Amz-Date=…&X-Amz-Expires=3600". Runs on: Deno, edge runtime.
import { z } from "zod";
import { parseHttpUrl } from "../../core/http_url.ts";
import { mediaKind } from "../page/media_kind.ts";
import { SourceError } from "../source_error.ts";
import { tags } from "../page/tags.ts";
import { directMedia } from "./direct.ts";
import type { EmbedPage, Resolved } from "./resolver.ts";

const stateSchema = z.object({ props: z.looseObject({ url: z.string().nullish() }) });

export function resolveInertiaPage({ html, url }: EmbedPage): Resolved | null {
  if (!/\bdata-page\s*=/i.test(html)) return null;
  const text = stateOf(html);
  if (text === null || !text.trimStart().startsWith("{")) return null;
  const state = stateSchema.safeParse(parseJson(text));
  if (!state.success) throw new SourceError("parse", "the page's state is invalid", { cause: state.error });
  const source = state.data.props.url;
  if (source === undefined) return null; // not a player
  // null: the page shows its URL to subscribers only.
  if (!source) throw new SourceError("subscription", "the page has no media URL for visitors");
  const media = parseHttpUrl(source, url);
  if (media === null) throw new SourceError("parse", "the page's state names a URL that is not http or https");
  return directMedia(media, mediaKind(media) ?? "mp4", url);
}

function stateOf(html: string): string | null {
  for (const { attributes } of tags(html)) {
    const text = attributes.get("data-page");
    if (text) return text;
  }
  return null;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SourceError("parse", "the page's state is not JSON", { cause });
  }
}
