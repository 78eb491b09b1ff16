// Supabase function `streaming`. Runs on: edge runtime, Deno.
import { buildStreamingApp } from "./build.ts";

const app = buildStreamingApp(Deno.env.toObject());

Deno.serve((request) => app.fetch(request));
