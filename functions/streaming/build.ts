// Builds the streaming app from an environment. Runs on: Deno, edge runtime.
import { createClient } from "@supabase/supabase-js";
import type { Hono } from "hono";
import { collectSources, PRODUCT } from "../../sources/collect.ts";
import type { Database } from "../../core/database.types.ts";
import { verifyRefresh } from "../../core/refresh_request.ts";
import { sleep } from "../../core/sleep.ts";
import { commonConfigOf } from "../../sources/providers/entry.ts";
import { checkPublicHost } from "../../sources/fetch/public_host.ts";
import { createRobots } from "../../sources/fetch/robots.ts";
import type { ResolveTools } from "../../sources/resolvers/index.ts";
import { createPerHostLimiter } from "../../sources/fetch/per_host_limiter.ts";
import { addressSource, createClientAddress, createClientId } from "../_shared/client_address.ts";
import { cachedHealth, checkDatabase } from "../_shared/health.ts";
import { logEvent, resolveName, runInBackground } from "../_shared/runtime.ts";
import { createStreamingApp } from "./routes.ts";
import { freshnessSeconds } from "./cache_policy.ts";
import { archiveBases, parseStreamingEnv } from "./env.ts";
import { createEpisodeService } from "./episode_service.ts";
import { createEpisodeStore } from "./episode_store.ts";
import { createSourceReader } from "./source_reader.ts";
import { createListSaver } from "./list_saver.ts";
import { createPageFinder } from "./page_finder.ts";
import { createStreamLinks } from "./stream_link.ts";
import { createTakedownList } from "./takedown_list.ts";
import { checkWorker } from "./worker_probe.ts";

/** After this, a read that continues in the background is aborted. */
const READ_LIMIT_MS = 55_000;

/**
 * @param options.behindGateway Whether a gateway appends the client's address to x-forwarded-for, as Supabase's does.
 * @throws {Error} that lists every missing or invalid variable.
 */
export function buildStreamingApp(
  variables: Readonly<Record<string, string>>,
  { behindGateway = true }: { readonly behindGateway?: boolean } = {},
): Hono {
  const env = parseStreamingEnv(variables);
  const now = Date.now;
  const limiter = createPerHostLimiter();
  const policy = { allowedOrigins: env.DEV_ALLOWED_ORIGINS, extraPorts: env.EXTRA_PORTS };
  const onError = (event: string, error: unknown) => logEvent(event, { error: String(error) });
  const supabase = createClient<Database>(env.SUPABASE_URL, env.serviceKeys[0], { auth: { persistSession: false } });
  const store = createEpisodeStore(supabase);

  const robots = createRobots({ now, product: PRODUCT });
  const findPage = createPageFinder({ store, titleApiUrl: env.TITLE_API_URL ?? null, onError });
  const web: Omit<ResolveTools, "signal"> = {
    fetch,
    now,
    limiter,
    policy,
    beforeRequest: (url, signal) => checkPublicHost(url, { resolve: resolveName, policy, signal }),
    ...(env.SOURCE_USER_AGENT !== undefined && { userAgent: env.SOURCE_USER_AGENT }),
    ...(env.MEGA_API_URL !== undefined && { megaApiUrl: env.MEGA_API_URL }),
  };

  const sourceReader = createSourceReader({
    collect: (request, context) => collectSources(request, { ...web, ...context, robots, findPage }),
    store,
    save: createListSaver({
      store,
      freshnessSeconds: (list) =>
        freshnessSeconds(list, {
          freshSeconds: env.SOURCE_FRESH_SECONDS,
          failureSeconds: env.SOURCE_FAILURE_SECONDS,
          now,
        }),
      now,
      sleep,
      onError,
    }),
    budgetMs: ({ provider }) => commonConfigOf(provider.config).budget_ms ?? env.PROVIDER_BUDGET_MS,
    limitMs: READ_LIMIT_MS,
    now,
    sleep,
    background: runInBackground,
  });
  const takedowns = createTakedownList({ store, keys: env.STREAM_SIGNING_KEYS, now });
  const episodes = createEpisodeService({
    store,
    sourceReader,
    links: createStreamLinks({ proxyBaseUrl: env.CLOUDFLARE_WORKERS_URL, keys: env.STREAM_SIGNING_KEYS }),
    isTakenDown: takedowns.isTakenDown,
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
      // Refreshes by the Worker are counted per episode: its IP addresses are shared with all of Cloudflare.
      const isWorker = await verifyRefresh(query, key, { keys: env.STREAM_SIGNING_KEYS, now: now() / 1000 });
      if (isWorker) return `refresh ${key.malId}/${key.episode}`;
      return await clientId(clientAddress(request.headers, connection));
    },
    onError: (event, error, requestId) => logEvent(event, { request_id: requestId, error: String(error) }),
  });
}
