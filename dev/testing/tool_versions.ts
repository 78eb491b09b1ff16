// Command line tools that run through npx, each in the version that tests and documents name. Neither is in import_map.json: Deno
// cannot install this Supabase CLI on every platform, and a wrangler in node_modules would run under the machine's own Node.
// KEEPSTREAM_LATEST_TOOLS=1 (`deno task tools:latest`) tries the newest releases instead.

const latest = Deno.env.get("KEEPSTREAM_LATEST_TOOLS") === "1";

export const SUPABASE_CLI = `supabase@${latest ? "latest" : "3.1.0"}`;
export const WRANGLER = `wrangler@${latest ? "latest" : "4.156.0"}`;
/** wrangler needs Node ≥ 22, which the machine may not have. */
export const WRANGLER_NODE = "node@22";
