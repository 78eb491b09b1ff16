// Builds the operator app from an environment. Runs on: Deno, edge runtime.
import { createClient } from "@supabase/supabase-js";
import type { Hono } from "hono";
import type { Database } from "../../core/database.types.ts";
import { cachedHealth, checkDatabase } from "../_shared/health.ts";
import { logEvent } from "../_shared/runtime.ts";
import { createArchiveApp } from "./routes.ts";
import { createOperatorStore } from "./operator_store.ts";
import { parseArchiveEnv } from "./env.ts";

/** @throws {Error} that lists every missing or invalid variable. */
export function buildArchiveApp(variables: Readonly<Record<string, string>>): Hono {
  const env = parseArchiveEnv(variables);
  const supabase = createClient<Database>(env.supabaseUrl, env.serviceKeys[0], { auth: { persistSession: false } });
  return createArchiveApp({
    store: createOperatorStore(supabase),
    operatorKeys: env.serviceKeys,
    health: cachedHealth(() => checkDatabase(supabase), Date.now),
    policy: env.policy,
    onError: (event, error, requestId) => logEvent(event, { request_id: requestId, error: String(error) }),
  });
}
