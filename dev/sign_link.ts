// `deno task sign <address> [--proxy URL] [--ttl SECONDS] [--scope DIRECTORIES] [--referer URL]`: a proxy link for an operator's test.
// Example: STREAM_SIGNING_KEYS=k1:… deno task sign https://cdn.test/a/m.m3u8 --proxy https://worker.test --scope 1
// Runs on: Deno.
import { parseArgs } from "node:util";
import { directoryCount, linkExpiry, parseSigningKeys, signLink } from "../core/link.ts";
import { checkTarget } from "../core/target_policy.ts";

const USAGE = "deno task sign <address> [--proxy URL] [--ttl SECONDS] [--scope DIRECTORIES] [--referer URL]";

if (import.meta.main) {
  const result = await sign(Deno.args, { env: (name) => Deno.env.get(name), now: Date.now() / 1000 });
  if (result.ok) console.log(result.text);
  else console.error(result.text);
  Deno.exit(result.ok ? 0 : 1);
}

export interface SignTools {
  readonly env: (name: string) => string | undefined;
  /** Unix seconds. */
  readonly now: number;
}

export async function sign(args: readonly string[], { env, now }: SignTools): Promise<{ ok: boolean; text: string }> {
  const fail = (text: string) => ({ ok: false, text });
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        proxy: { type: "string" },
        ttl: { type: "string" },
        scope: { type: "string" },
        referer: { type: "string" },
      },
    });
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : error}\nusage: ${USAGE}`);
  }
  const { values, positionals } = parsed;
  const [address] = positionals;
  if (address === undefined || positionals.length > 1) return fail(`usage: ${USAGE}`);
  const keys = parseSigningKeys(env("STREAM_SIGNING_KEYS") ?? "");
  if (!keys.ok) return fail(`STREAM_SIGNING_KEYS: ${keys.error}`);
  const proxyBaseUrl = values.proxy ?? env("CLOUDFLARE_WORKERS_URL") ?? "http://127.0.0.1:8787";
  const url = URL.canParse(address) ? new URL(address) : null;
  // Loopback is for development: the Worker decides whether it is allowed there.
  const target = url?.hostname === "127.0.0.1" ? { ok: true as const } : checkTarget(address, {});
  if (url === null || !target.ok) {
    return fail(`the Worker would refuse this address: ${target.ok ? "not an address" : target.error.reason}`);
  }
  const ttl = Number(values.ttl ?? 21_600);
  const scope = values.scope === undefined ? undefined : Number(values.scope);
  if (!(ttl > 0)) return fail("--ttl is a number of seconds");
  if (scope !== undefined && !(Number.isInteger(scope) && scope >= 0 && scope <= directoryCount(url))) {
    return fail(`--scope is a number from 0 to ${directoryCount(url)} for this address`);
  }
  const text = await signLink({
    proxyBaseUrl,
    url: url.href,
    expiresAt: linkExpiry(Math.floor(now), ttl),
    keys: keys.value,
    ...(scope !== undefined && { scopeDirectories: scope }),
    ...(values.referer !== undefined && { context: { headers: { referer: values.referer } } }),
  });
  return { ok: true, text };
}
