// Supabase function `archive`. Runs on: edge runtime, Deno.
import { handlerOf } from "../_shared/serve.ts";
import { buildArchiveApp } from "./build.ts";

const app = buildArchiveApp(Deno.env.toObject());

Deno.serve(handlerOf(app));
