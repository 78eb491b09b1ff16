// Reads one provider's servers for an episode and resolves each to media. A failed server gets a code; a failed provider is a list
// with a code. Never throws.
// Example: await collectSources(request, tools) → { state: "ok", servers: […] }. Runs on: Deno, edge runtime.
import { preloadHtmlParser } from "./page/html.ts";
import { createParseBudget } from "./page/parse_budget.ts";
import { createPageClient, DEFAULT_USER_AGENT } from "./fetch/page_client.ts";
import { type CommonConfig, commonConfigOf } from "./providers/entry.ts";
import type { EpisodeRequest, ListedServer, ListFailure } from "./recipes/recipe.ts";
import { findRecipe } from "./recipes/recipes.ts";
import { type Resolved, resolveServer, type ResolveTools } from "./resolvers/index.ts";
import type { Robots } from "./fetch/robots.ts";
import { type SourceCode, SourceError, toSourceError } from "./source_error.ts";
import type { SourceList, SourceServer } from "./source_list.ts";

export const MAX_SERVERS = 40;
/** Our product token in robots.txt files. */
export const PRODUCT = "keepstream";

export interface CollectTools extends ResolveTools {
  readonly robots?: Robots;
  /** Finds the page of a title that is not mapped; null if the provider does not have it. */
  readonly findPage?: (request: EpisodeRequest, tools: ResolveTools) => Promise<string | null>;
  /** Called with the outcome of every server that is resolved. */
  readonly onServer?: (embedUrl: string, outcome: Resolved | SourceError) => void;
}

/** A list with the options of the page that led to no server. */
export interface CollectedList extends SourceList {
  readonly failures: readonly ListFailure[];
  /** The site's Retry-After. */
  readonly retry_after_seconds?: number;
}

/** Resolves all servers concurrently, within the limits per host. */
export async function collectSources(request: EpisodeRequest, tools: CollectTools): Promise<CollectedList> {
  try {
    const config = commonConfigOf(request.provider.config);
    const own = toolsOf(request, config, tools);
    const { servers, failures } = await listServers(request, own, tools);
    const [listed, foreign] = partition(servers, ({ embedUrl }) => isOnHosts(embedUrl, config.hosts));
    if (listed.length === 0) {
      const code = foreign.length > 0 ? "policy_denied" : failures[0]?.code ?? "empty";
      throw new SourceError(code, "the episode has no server");
    }
    const resolved = await Promise.all(
      listed.slice(0, MAX_SERVERS).map((one) => resolveListed(one, own, tools.onServer)),
    );
    const refused = foreign.map(({ label }): ListFailure => ({ label, code: "policy_denied" }));
    return { state: "ok", code: null, servers: resolved, failures: [...failures, ...refused].slice(0, MAX_SERVERS) };
  } catch (thrown) {
    const { reason, retryAfterSeconds } = toSourceError(thrown, tools.signal);
    return { ...failedList(reason), ...(retryAfterSeconds && { retry_after_seconds: Math.ceil(retryAfterSeconds) }) };
  }
}

/** The list of a provider without servers. */
export function failedList(code: string): CollectedList {
  const state = code === "empty" || code === "no_mapping" ? "empty" : code === "timeout" ? "timeout" : "failed";
  return { state, code, servers: [], failures: [] };
}

async function listServers(request: EpisodeRequest, own: ResolveTools, tools: CollectTools) {
  const recipe = findRecipe(request.provider.recipe);
  if (recipe === null) throw new SourceError("unsupported", `there is no recipe ${request.provider.recipe}`);
  const mustSearch = recipe.needs.page && request.page === null && !request.absent;
  const page = mustSearch ? await tools.findPage?.(request, own) ?? null : request.page;
  if (recipe.needs.page && page === null) {
    throw new SourceError("no_mapping", "the title has no page at this provider");
  }
  if (recipe.needs.page) preloadHtmlParser();
  return await recipe.listServers({ ...request, page }, createPageClient(own));
}

/** The tools with the limits, headers and user agent of the provider's entry. */
function toolsOf(request: EpisodeRequest, config: CommonConfig, tools: CollectTools): ResolveTools {
  const site = request.provider.base_url;
  const own: ResolveTools = {
    ...tools,
    parseBudget: tools.parseBudget ?? createParseBudget(),
    userAgent: config.user_agent ?? tools.userAgent ?? DEFAULT_USER_AGENT,
    ...(site !== null && config.headers && { siteHeaders: { origin: new URL(site).origin, headers: config.headers } }),
    ...(config.requests_per_host !== undefined && { requestsPerHost: config.requests_per_host }),
    ...(config.resolvers !== undefined && { resolverOfHost: config.resolvers }),
  };
  const { robots } = tools;
  if (robots === undefined || site === null || config.robots === "ignore") return own;
  // Reads robots.txt without the check below, and without the limiter, whose places the waiting pages occupy.
  const { limiter: _limiter, ...unlimited } = own;
  const pages = createPageClient(unlimited);
  return {
    ...own,
    async beforeRequest(url, signal) {
      await tools.beforeRequest?.(url, signal);
      if (siteOf(url) === siteOf(new URL(site))) await robots.check(url, pages);
    },
  };
}

/** The same site with either scheme, with or without `www.`: links lead to all of these origins, and each has a robots.txt. */
function siteOf({ host }: URL): string {
  return host.replace(/^www\./, ""); // includes a port other than the default one
}

async function resolveListed(
  listed: ListedServer,
  tools: ResolveTools,
  onServer: CollectTools["onServer"],
): Promise<SourceServer> {
  try {
    const resolved = await resolve(listed, tools);
    onServer?.(listed.embedUrl, resolved);
    return toServer(listed, resolved, null);
  } catch (thrown) {
    const error = toSourceError(thrown, tools.signal);
    onServer?.(listed.embedUrl, error);
    return toServer(listed, null, error.reason);
  }
}

async function resolve(listed: ListedServer, tools: ResolveTools): Promise<Resolved> {
  const { embedUrl, direct } = listed;
  const resolved = await resolveServer({ embedUrl, ...(direct && { videoUrl: embedUrl, kind: direct.kind }) }, tools);
  return { ...resolved, headers: { ...resolved.headers, ...direct?.headers } };
}

function toServer(listed: ListedServer, resolved: Resolved | null, code: SourceCode | null): SourceServer {
  return {
    label: listed.label,
    embed_url: listed.embedUrl,
    video_url: resolved?.url ?? null,
    kind: resolved?.kind ?? null,
    resolution: listed.resolution,
    headers: { ...resolved?.headers },
    expires_at: isoTime(resolved?.expiresAt ?? null),
    subtitles: [...(listed.subtitles ?? []), ...(resolved?.subtitles ?? [])],
    ...(listed.chapters?.length && { chapters: [...listed.chapters] }),
    ...(code !== null && { code }),
  };
}

function isOnHosts(url: string, hosts: readonly string[] | undefined): boolean {
  if (hosts === undefined) return true;
  const { host } = new URL(url);
  return hosts.some((rule) => rule.startsWith(".") ? host.endsWith(rule) : host === rule);
}

function partition<T>(items: readonly T[], wanted: (item: T) => boolean): readonly [T[], T[]] {
  return [items.filter(wanted), items.filter((item) => !wanted(item))];
}

function isoTime(unixSeconds: number | null): string | null {
  return unixSeconds === null ? null : new Date(unixSeconds * 1000).toISOString();
}
