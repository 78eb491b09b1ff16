// The interface of recipes: an episode → the servers that the provider's page lists.
// Runs on: Deno, edge runtime.
import type { z } from "zod";
import type { HttpUrl } from "../../core/http_url.ts";
import type { PageClient } from "../fetch/page_client.ts";
import type { SourceCode } from "../source_error.ts";
import type { Chapter, FoundSubtitle, Subtitle } from "../source_list.ts";

/** An entry of the operator's provider list (table `providers`). */
export interface ProviderEntry {
  readonly name: string;
  readonly recipe: string;
  readonly base_url: string | null;
  readonly config: Readonly<Record<string, unknown>>;
}

/** The operator's own entry of an episode (table `catalogue`). */
export interface CatalogueEntry {
  readonly title: string | null;
  readonly sources: readonly CatalogueSource[];
}

export interface CatalogueSource {
  readonly url: string;
  readonly resolution?: string | null;
  readonly kind?: string | null;
  readonly label?: string | null;
  readonly subtitles?: readonly Subtitle[] | null;
  readonly chapters?: readonly Chapter[] | null;
}

export interface EpisodeRequest {
  readonly malId: number;
  readonly episode: number;
  readonly provider: ProviderEntry;
  /** The title's page (or identifier) at this provider, as mapped by the operator or found by discovery. */
  readonly page: string | null;
  /** Recently searched for and not found: not searched for again. */
  readonly absent?: boolean;
  readonly catalogue: CatalogueEntry | null;
}

/** A server that a provider lists; `direct` if the URL itself is media. */
export interface ListedServer {
  readonly label: string;
  readonly embedUrl: HttpUrl;
  readonly resolution: string | null;
  readonly direct?: { readonly kind: string; readonly headers?: Readonly<Record<string, string>> };
  readonly subtitles?: readonly FoundSubtitle[];
  readonly chapters?: readonly Chapter[];
}

/** An option of the page that led to no URL; the others are not affected. */
export interface ListFailure {
  readonly label: string;
  readonly code: SourceCode;
}

export interface Listing {
  readonly servers: readonly ListedServer[];
  readonly failures: readonly ListFailure[];
}

export interface SearchHit {
  readonly title: string;
  readonly page: string;
}

export interface Recipe {
  readonly name: string;
  /** Whether an entry needs `base_url`, and whether titles have pages that must be known. */
  readonly needs: { readonly baseUrl: boolean; readonly page: boolean };
  /** Recipe-specific part of `config`; common keys are checked by providers/entry.ts. */
  readonly config: z.ZodType;
  /** @throws {SourceError} if the provider has no server at all */
  listServers(request: EpisodeRequest, pages: PageClient): Promise<Listing>;
  /** The provider's own search, for discovery. */
  search?(provider: ProviderEntry, query: string, pages: PageClient): Promise<readonly SearchHit[]>;
}

/** One outcome per option → the listing. */
export function splitListing(listed: readonly (ListedServer | ListFailure)[]): Listing {
  return {
    servers: listed.flatMap((one) => "embedUrl" in one ? [one] : []),
    failures: listed.flatMap((one) => "code" in one ? [one] : []),
  };
}
