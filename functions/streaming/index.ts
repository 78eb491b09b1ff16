// Supabase function `streaming`. Runs on: edge runtime, Deno.
import { handlerOf } from "../_shared/serve.ts";
import { buildStreamingApp } from "./build.ts";

const app = buildStreamingApp(Deno.env.toObject());

Deno.serve(handlerOf(app));
