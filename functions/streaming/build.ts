// Puts the streaming app together from an environment. Runs on: Deno, edge runtime.
import { createClient } from "@supabase/supabase-js";
import type { Hono } from "hono";
import { collectSources, PRODUCT } from "../../sources/collect.ts";
import { verifyRefresh } from "../../core/refresh_request.ts";
import { pause } from "../../sources/fetch/pause.ts";
import { commonConfigOf } from "../../sources/providers/entry.ts";
import { checkPublicHost } from "../../sources/fetch/public_host.ts";
import { createRobots } from "../../sources/fetch/robots.ts";
import type { ResolveTools } from "../../sources/resolvers/index.ts";
import { createHostGate } from "../../sources/fetch/per_host_limiter.ts";
import { addressSource, createClientAddress, createClientId } from "../_shared/client_address.ts";
import { cachedHealth, checkDatabase } from "../_shared/health.ts";
import { logEvent, resolveName, runInBackground } from "../_shared/runtime.ts";
import { createStreamingApp } from "./routes.ts";
import { dueSeconds } from "./cache_policy.ts";
import { archiveBases, parseStreamingEnv } from "./env.ts";
import { createEpisodeService } from "./episode_service.ts";
import { createEpisodeStore } from "./episode_store.ts";
import { createGatherer } from "./source_reader.ts";
import { createListSaver } from "./list_saver.ts";
import { createPageFinder } from "./page_finder.ts";
import { createStreamLinks } from "./stream_link.ts";
import { createTakedownList } from "./takedown_list.ts";
import { checkWorker } from "./worker_probe.ts";

/** When a read that goes on in the background is given up. */
const READING_LIMIT_MS = 55_000;

/**
 * @param options.behindGateway Whether a gateway appends the client's address to x-forwarded-for, as Supabase's does.
 * @throws {Error} naming everything the environment lacks.
 */
export function buildStreamingApp(
  variables: Readonly<Record<string, string>>,
  { behindGateway = true }: { readonly behindGateway?: boolean } = {},
): Hono {
  const env = parseStreamingEnv(variables);
  const now = Date.now;
  const hosts = createHostGate();
  const policy = { allowedOrigins: env.DEV_ALLOWED_ORIGINS, extraPorts: env.EXTRA_PORTS };
  const onError = (event: string, error: unknown) => logEvent(event, { error: String(error) });
  const supabase = createClient(env.SUPABASE_URL, env.serviceKeys[0], { auth: { persistSession: false } });
  const store = createEpisodeStore(supabase);

  const robots = createRobots({ now, product: PRODUCT });
  const findPage = createPageFinder({ store, titleApiUrl: env.TITLE_API_URL ?? null, onError });
  const web: Omit<ResolveTools, "signal"> = {
    fetch,
    now,
    hosts,
    policy,
    beforeRequest: (url, signal) => checkPublicHost(url, { resolve: resolveName, policy, signal }),
    ...(env.SOURCE_USER_AGENT !== undefined && { userAgent: env.SOURCE_USER_AGENT }),
    ...(env.MEGA_API_URL !== undefined && { megaApiUrl: env.MEGA_API_URL }),
  };

  const gatherer = createGatherer({
    collect: (request, flight) => collectSources(request, { ...web, ...flight, robots, findPage }),
    store,
    save: createListSaver({
      store,
      dueSeconds: (list) =>
        dueSeconds(list, { freshSeconds: env.SOURCE_FRESH_SECONDS, failureSeconds: env.SOURCE_FAILURE_SECONDS, now }),
      now,
      pause,
      onError,
    }),
    budgetMs: ({ provider }) => commonConfigOf(provider.config).budget_ms ?? env.PROVIDER_BUDGET_MS,
    limitMs: READING_LIMIT_MS,
    now,
    pause,
    background: runInBackground,
  });
  const takedowns = createTakedownList({ store, keys: env.STREAM_SIGNING_KEYS, now });
  const episodes = createEpisodeService({
    store,
    gatherer,
    links: createStreamLinks({ proxyBaseUrl: env.CLOUDFLARE_WORKERS_URL, keys: env.STREAM_SIGNING_KEYS }),
    isTakenDown: takedowns.names,
    hubEndpoint: env.HF_ENDPOINT,
    archiveBases: archiveBases(env),
    linkTtlSeconds: env.STREAM_LINK_TTL_SECONDS,
    staleSeconds: env.SOURCE_STALE_SECONDS,
    now,
    background: runInBackground,
    onError,
  });
  const clientId = createClientId(env.serviceKeys[0]);
  const clientAddress = createClientAddress(
    addressSource(variables, behindGateway),
    (event, header) => logEvent(event, { header }),
  );
  const health = cachedHealth(() => checkDatabase(supabase), now);
  const workerHealth = cachedHealth(
    () =>
      checkWorker({
        proxyBaseUrl: env.CLOUDFLARE_WORKERS_URL,
        keys: env.STREAM_SIGNING_KEYS,
        hubEndpoint: env.HF_ENDPOINT,
        fetch,
      }),
    now,
  );
  return createStreamingApp({
    episodes,
    takedowns: takedowns.signed,
    health,
    deepHealth: async () => await health() ?? await workerHealth(),
    async clientOf(request, key, connection) {
      const query = new URL(request.url).searchParams;
      // Our Worker's refreshes are counted by what they are about: it shares its addresses with all of Cloudflare.
      const isOwn = await verifyRefresh(query, key, { keys: env.STREAM_SIGNING_KEYS, now: now() / 1000 });
      if (isOwn) return `refresh ${key.malId}/${key.episode}`;
      return await clientId(clientAddress(request.headers, connection));
    },
    onError: (event, error, requestId) => logEvent(event, { request_id: requestId, error: String(error) }),
  });
}
