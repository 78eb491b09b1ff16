// Reads an embed page and resolves it with the first shape that finds media in it; follows frames.
// Example: await resolvePage("https://player.test/e/1", context) → { url, kind: "hls", shape: "jwplayer: setup-sources", … }.
// Runs on: Deno, edge runtime.
import { type MediaKind, mediaKindOfType } from "../page/media_kind.ts";
import type { ParseBudget } from "../page/parse_budget.ts";
import { SourceError } from "../source_error.ts";
import { sessionOf } from "./api_session.ts";
import { choose } from "./choose.ts";
import { directMedia, resolveDirect } from "./direct.ts";
import { framedPlayer } from "./frames.ts";
import { MediaFinder } from "./media.ts";
import { describePage, isChallenge } from "./page_report.ts";
import { type EmbedPage, type PlayerPage, readPlayerPage } from "./player_page.ts";
import type { Resolved } from "./resolver.ts";
import type { Family, ShapeTools } from "./shape.ts";

export interface PageContext extends ShapeTools {
  readonly families: readonly Family[];
  /** Hosts whose pages only the named family may read. */
  readonly pins: Readonly<Record<string, string>>;
  readonly budget: ParseBudget;
  readonly framesLeft: number;
}

/** A response needs dozens of such pages; a player with its packed script has about 50 kB. */
export const MAX_EMBED_PAGE_BYTES = 1024 * 1024;
/** The page itself says why it has no media; a later shape would find a preview. */
const DECISIVE = new Set(["subscription", "cancelled", "too_large", "policy_denied"]);
/** A failed request of the page that may succeed later. */
const PASSING = new Set(["http_5xx", "timeout", "network", "busy", "blocked"]);

/** @throws {SourceError} */
export async function resolvePage(url: string, context: PageContext): Promise<Resolved> {
  const page = await context.pages.read(url, {
    maxBytes: MAX_EMBED_PAGE_BYTES,
    skipBody: (headers) => kindOf(headers) !== null,
  });
  const kind = kindOf(page.headers);
  if (kind !== null) return directMedia(page.url, kind);
  return await resolveEmbedPage({ url: page.url, html: page.text, headers: page.headers }, context);
}

/** Why no shape has found media yet. */
interface Missing {
  decoys: number;
  protectedBy: string | null;
  notMedia: number;
  failure: SourceError | null;
  readonly probes: Map<string, string | null>;
}

async function resolveEmbedPage(embed: EmbedPage, context: PageContext): Promise<Resolved> {
  const page = readPlayerPage(embed, context.budget);
  const pin = context.pins[new URL(page.url).hostname];
  const missing: Missing = { decoys: 0, protectedBy: null, notMedia: 0, failure: null, probes: new Map() };
  for (const family of context.families) {
    if (pin !== undefined && pin !== family.name) continue;
    const resolved = await resolveWith(family, page, { context, missing });
    if (resolved !== null) return resolved;
  }
  const frame = context.framesLeft > 0 ? framedPlayer(page) : null;
  if (frame === null) throw noPlayer(page, missing, sessionOf(page, context).failure);
  return resolveDirect(frame) ?? await resolvePage(frame, { ...context, framesLeft: context.framesLeft - 1 });
}

async function resolveWith(
  family: Family,
  page: PlayerPage,
  { context, missing }: { readonly context: PageContext; readonly missing: Missing },
): Promise<Resolved | null> {
  const inner = { ...context, framesLeft: context.framesLeft - 1 };
  for (const shape of family.shapes) {
    const name = `${family.name}: ${shape.name}`;
    try {
      const found = await shape.find(page, context);
      if (found === null) continue;
      if (!(found instanceof MediaFinder)) {
        if (context.framesLeft > 0) return within(name, await resolveEmbedPage(found.framed, inner));
        continue;
      }
      missing.decoys = Math.max(missing.decoys, found.decoys);
      missing.protectedBy ??= found.protectedBy;
      if (found.isEmpty) continue;
      const { resolved, webPage } = await choose(found, page.url, { pages: context.pages, probes: missing.probes });
      if (resolved !== null) return { ...resolved, shape: name };
      missing.notMedia = Math.max(missing.notMedia, found.candidates.length);
      // An API may return the URL of a page with a player.
      if (webPage !== null && family.name === "json-api" && context.framesLeft > 0) {
        return within(name, await resolvePage(webPage, inner));
      }
    } catch (error) {
      if (!(error instanceof SourceError) || DECISIVE.has(error.reason) || context.signal.aborted) throw error;
      missing.failure ??= error; // another shape may find the media
    }
  }
  return null;
}

function within(shape: string, resolved: Resolved): Resolved {
  return { ...resolved, shape: `${shape} → ${resolved.shape ?? "direct"}` };
}

function noPlayer(page: PlayerPage, missing: Missing, request: SourceError | null): SourceError {
  const message = describePage(page, { ...missing, failure: request?.reason ?? missing.failure?.reason ?? null });
  if (isChallenge(page)) return new SourceError("blocked", message);
  const cause = missing.failure ?? request;
  if (cause !== null && (cause === missing.failure || PASSING.has(cause.reason))) {
    return new SourceError(cause.reason, `${cause.message}; ${message}`, { cause });
  }
  return new SourceError(page.packedBlocks > page.unpackedBlocks ? "parse" : "unsupported", message);
}

function kindOf(headers: Headers): MediaKind | null {
  return mediaKindOfType(headers.get("content-type"));
}
