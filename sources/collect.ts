// One provider's answer for one episode: the servers its recipe lists, each resolved to media where that works.
// A server's failure is that server's; a provider's failure is a list with a code, never a throw.
// Example: await collectSources(request, tools) → { state: "ok", servers: […] }. Runs on: Deno, edge runtime.
import { createPageClient } from "./page_client.ts";
import type { EpisodeRequest, ListedServer } from "./providers/recipe.ts";
import { findRecipe } from "./providers/recipes.ts";
import { type Resolved, resolveServer, type ResolveTools } from "./resolve.ts";
import { type SourceCode, SourceError, toSourceError } from "./source_error.ts";
import type { SourceList, SourceServer } from "./source_list.ts";

export const MAX_SERVERS = 40;

/** Reads a provider's servers and resolves them, all at once within the host gate's limits. */
export async function collectSources(request: EpisodeRequest, tools: ResolveTools): Promise<SourceList> {
  try {
    const recipe = findRecipe(request.provider.recipe);
    if (recipe === null) throw new SourceError("unsupported", `there is no recipe ${request.provider.recipe}`);
    if (recipe.needs.page && request.page === null) {
      throw new SourceError("no_mapping", "the title has no page at this provider");
    }
    const { servers, failures } = await recipe.listServers(request, createPageClient(tools));
    if (servers.length === 0) {
      throw new SourceError(failures[0]?.code ?? "empty", "the episode has no server");
    }
    const listed = servers.slice(0, MAX_SERVERS);
    return { state: "ok", code: null, servers: await Promise.all(listed.map((one) => resolveListed(one, tools))) };
  } catch (thrown) {
    return failedList(toSourceError(thrown, tools.signal).reason);
  }
}

/** What a provider without servers looks like. */
export function failedList(code: SourceCode): SourceList {
  const state = code === "empty" || code === "no_mapping" ? "empty" : code === "timeout" ? "timeout" : "failed";
  return { state, code, servers: [] };
}

async function resolveListed(listed: ListedServer, tools: ResolveTools): Promise<SourceServer> {
  try {
    return toServer(listed, await resolve(listed, tools), null);
  } catch (thrown) {
    return toServer(listed, null, toSourceError(thrown, tools.signal).reason);
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

function isoTime(unixSeconds: number | null): string | null {
  return unixSeconds === null ? null : new Date(unixSeconds * 1000).toISOString();
}
