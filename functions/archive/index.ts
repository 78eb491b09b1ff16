// Supabase function `archive`. Runs on: edge runtime, Deno.
import { buildArchiveApp } from "./build.ts";

const app = buildArchiveApp(Deno.env.toObject());

Deno.serve((request) => app.fetch(request));
