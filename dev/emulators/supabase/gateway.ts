/**
 * The gateway of a Supabase project: `/rest/v1/*` and `/functions/v1/*`; in addition `/api/v1/*` as on Deno Deploy.
 * For the calls that keepstream makes, supabase-js cannot distinguish it from the real one.
 */
import createClient from "postgres";
import { createTransactionPool, RECONNECT_SECONDS } from "./transaction.ts";
import { proxyFunction } from "./functions_proxy.ts";
import type { ProjectKeys } from "./keys.ts";
import { startRestApi } from "./rest.ts";

const POOL_SIZE = 10;
/** Paths of Supabase and of Deno Deploy. */
const FUNCTION_BASES = ["/functions/v1", "/api/v1"];
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST, PATCH, PUT, DELETE, OPTIONS, HEAD",
  "access-control-allow-headers": "*, authorization, apikey, content-type, prefer, range, x-client-info",
  "access-control-expose-headers": "content-range, preference-applied, proxy-status",
  "access-control-max-age": "3600",
};

export interface GatewayOptions {
  /** 0: any free port. */
  readonly port: number;
  /** As the role `authenticator`. */
  readonly databaseUrl: string;
  readonly keys: ProjectKeys;
  /** URL of each function: `{ streaming: "http://127.0.0.1:4001" }`. */
  readonly functions?: Readonly<Record<string, string>>;
}

export interface Gateway {
  readonly url: string;
  /** Adds functions that started later. */
  setFunction(name: string, baseUrl: string): void;
  stop(): Promise<void>;
}

/** @example const gateway = await startGateway({ port: 0, databaseUrl, keys: makeProjectKeys() }); */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const sql = createClient(options.databaseUrl, {
    max: 1,
    onnotice: () => {},
    fetch_types: false, // nothing could catch a failure of that query
    backoff: () => RECONNECT_SECONDS,
    connection: { application_name: "gateway" },
  });
  const pool = createTransactionPool(options.databaseUrl, { size: POOL_SIZE, name: "gateway" });
  const functions = new Map(Object.entries(options.functions ?? {}));
  const rest = await startRestApi(sql, { keys: options.keys, pool }).catch(async (error) => {
    await sql.end({ timeout: 1 });
    throw error;
  });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: options.port, onListen: () => {} },
    async (request, info) => {
      const { pathname } = new URL(request.url);
      const functionsBase = FUNCTION_BASES.find((base) => pathname.startsWith(`${base}/`));
      if (functionsBase !== undefined) {
        const path = pathname.slice(functionsBase.length);
        return await proxyFunction(request, { path, functions, clientAddress: info.remoteAddr.hostname });
      }
      if (pathname === "/health") return Response.json({ status: "ok" });
      if (!pathname.startsWith("/rest/v1/")) {
        return Response.json({ message: "no Route matched with those values" }, { status: 404 });
      }
      if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: CORS });
      const response = await rest.handle(request, pathname.slice("/rest/v1".length));
      for (const [name, value] of Object.entries(CORS)) response.headers.set(name, value);
      return response;
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    setFunction: (name, baseUrl) => void functions.set(name, baseUrl),
    async stop() {
      await server.shutdown();
      await rest.close();
      await pool.end();
      await sql.end({ timeout: 1 });
    },
  };
}
