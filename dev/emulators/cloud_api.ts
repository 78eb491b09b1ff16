/**
 * The management APIs of Supabase and Cloudflare, as far as their command line tools use them. Records what they send.
 * Example: `await using api = startCloudflareApi()`, then `wrangler` with `api.env`.
 */

export interface SentRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
}

export interface CloudApi extends AsyncDisposable {
  readonly url: string;
  /** Variables for a tool that uses this API. */
  readonly env: Readonly<Record<string, string>>;
  readonly sent: readonly SentRequest[];
}

export const PROJECT_REF = "abcdefghijklmnopqrst";

type Respond = (request: SentRequest) => Response;

function startApi(respond: Respond, envOf: (url: string) => Record<string, string>): CloudApi {
  const sent: SentRequest[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname: path, searchParams: query } = new URL(request.url);
    const one = { method: request.method, path, query, body: await request.text() };
    sent.push(one);
    return respond(one);
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  return { url, sent, env: envOf(url), [Symbol.asyncDispose]: () => server.shutdown() };
}

/** For a CLI profile: a project that exists and has no functions. */
export function startSupabaseApi(): CloudApi {
  return startApi(supabaseResponse, () => ({
    SUPABASE_ACCESS_TOKEN: `sbp_${"0".repeat(40)}`,
    SUPABASE_TELEMETRY_DISABLED: "1",
    SUPABASE_NO_UPDATE_NOTIFIER: "1",
    SUPABASE_NO_KEYRING: "1",
    PGSSLMODE: "disable",
  }));
}

const supabaseResponse: Respond = ({ method, path, query }) => {
  const project = `/v1/projects/${PROJECT_REF}`;
  if (path === project) {
    return Response.json({
      id: PROJECT_REF,
      ref: PROJECT_REF,
      organization_id: "own",
      organization_slug: "own",
      name: "own",
      region: "eu-central-1",
      status: "ACTIVE_HEALTHY",
      created_at: "2026-01-01T00:00:00Z",
      database: { host: "db.supabase.test", version: "17", postgres_engine: "17", release_channel: "ga" },
    });
  }
  if (path === `${project}/api-keys`) {
    return Response.json([
      { id: "anon", name: "anon", api_key: "eyJ", type: "legacy" },
      { id: "default", name: "default", api_key: "sb_publishable_test", type: "publishable" },
    ]);
  }
  if (path === `${project}/functions/deploy`) {
    const slug = query.get("slug")!;
    const times = { created_at: 1, updated_at: 1 };
    const deployed = { id: slug, slug, name: slug, status: "ACTIVE", version: 1, verify_jwt: false, ...times };
    return Response.json(deployed, { status: 201 });
  }
  if (method === "POST") return Response.json([], { status: 201 });
  return Response.json(method === "PUT" ? { functions: [] } : []);
};

/** An account without Workers. */
export function startCloudflareApi(): CloudApi {
  return startApi(cloudflareResponse, (url) => ({
    CLOUDFLARE_API_BASE_URL: `${url}/client/v4`,
    CLOUDFLARE_API_TOKEN: "token-of-the-test",
    CLOUDFLARE_ACCOUNT_ID: "account",
    WRANGLER_SEND_METRICS: "false",
    CI: "1",
  }));
}

const cloudflareResponse: Respond = ({ method, path }) => {
  const found = (result: unknown) => Response.json({ success: true, errors: [], messages: [], result });
  if (path.includes("/workers/services/")) {
    const errors = [{ code: 10090, message: "workers.api.error.service_not_found" }];
    return Response.json({ success: false, errors, messages: [], result: null }, { status: 404 });
  }
  if (path.endsWith("/deployments")) return found({ deployments: [] });
  if (path.endsWith("/secrets")) return found([]);
  if (path.endsWith("/assets-upload-session")) return found({ jwt: "upload", buckets: [] });
  if (path.endsWith("/subdomain")) return found({ subdomain: "own", enabled: true, previews_enabled: false });
  if (path.includes("/workers/workers/")) return found({ subdomain: { enabled: true, previews_enabled: false } });
  if (method === "PUT") return found({ id: "worker", etag: "1", deployment_id: "1", startup_time_ms: 1 });
  return found({});
};
