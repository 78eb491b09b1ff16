// The baseline for the streaming function: a hono route that returns the result of one database call.
import { createClient } from "@supabase/supabase-js";
import { Hono } from "hono";

const key = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS")!).default;
const supabase = createClient(Deno.env.get("SUPABASE_URL")!, key, { auth: { persistSession: false } });

const app = new Hono().get("/streaming/:malId/:episode", async (c) => {
  const { malId, episode } = c.req.param();
  const { data } = await supabase.rpc("read_episode", {
    mal_id: Number(malId),
    episode: Number(episode),
    client: null,
  });
  return c.json(data);
});

Deno.serve((request) => app.fetch(request));
