// The Worker with Miniflare's Cache API and rate limiter, which follow Cloudflare's rules more closely than
// dev/emulators/workerd/workerd.ts.
import assert from "node:assert/strict";
import { signLink } from "../core/link.ts";
import { EXPIRES_AT, KEY_TEXT, KEYS, media, pattern, send, startOrigin, text } from "../dev/testing/proxy_fixture.ts";
import { deployableWorker } from "../dev/emulators/workerd/workerd.ts";

// A dynamic import, because its types would replace the global Response with Cloudflare's.
const MINIFLARE: string = "miniflare";
const { convertV4MiniflareOptions, Miniflare } = await import(MINIFLARE);

interface Running extends AsyncDisposable {
  link(url: string, context?: Parameters<typeof signLink>[0]["context"]): Promise<string>;
  /** Starts a new isolate, with empty memory. */
  restart(): Promise<void>;
}

async function startMiniflare(originUrl: string, limit: number): Promise<Running> {
  const { script, compatibilityDate, compatibilityFlags } = await deployableWorker();
  const options = (generation: number) =>
    convertV4MiniflareOptions({
      modules: true,
      script,
      compatibilityDate,
      compatibilityFlags: [...compatibilityFlags],
      bindings: {
        STREAM_SIGNING_KEYS: KEY_TEXT,
        PUBLIC_API_URL: `${originUrl}/functions/v1`,
        DEV_ALLOWED_ORIGINS: originUrl,
        GENERATION: String(generation),
      },
      ratelimits: { RATE_LIMIT: { namespace_id: "1", simple: { limit, period: 60 } } },
    });
  let generation = 0;
  const miniflare = new Miniflare(options(generation));
  let url = await miniflare.ready;
  return {
    link: (target, context = {}) =>
      signLink({ proxyBaseUrl: url.origin, url: target, expiresAt: EXPIRES_AT, keys: KEYS, context }),
    async restart() {
      await miniflare.setOptions(options(++generation));
      url = await miniflare.ready;
    },
    [Symbol.asyncDispose]: () => miniflare.dispose(),
  };
}

Deno.test("Miniflare's Cache API: new isolate → has the validators, fails over", async () => {
  await using origin = await startOrigin();
  await using worker = await startMiniflare(origin.url, 1000);
  const file = pattern(50_000);
  const episode = { malId: 1, episode: 1, provider: "animasu", server: "https://embed.test/1" };
  const ask = async (start: number) => {
    const range = `bytes=${start}-${start + 999}`;
    return await fetch(await worker.link(`${origin.url}/old.mp4`, { episode }), { headers: { range } });
  };
  origin.route("/old.mp4", media(file));
  assert.deepEqual(new Uint8Array(await (await ask(0)).arrayBuffer()), file.slice(0, 1000));
  await worker.restart();
  origin.route("/old.mp4", (_request, response) => send(response, 403, {}, "dead"));
  origin.route("/new.mp4", media(file));
  const servers = [{ url: episode.server, url_resolved: `${origin.url}/new.mp4` }];
  origin.route(
    "/functions/v1/",
    text(JSON.stringify({ success: true, data: { animasu: servers } }), "application/json"),
  );
  const response = await ask(1000);
  assert.equal(response.status, 206);
  assert.deepEqual(new Uint8Array(await response.arrayBuffer()), file.slice(1000, 2000));
});

Deno.test("Miniflare's rate limiter: over the limit → 429", async () => {
  await using origin = await startOrigin();
  await using worker = await startMiniflare(origin.url, 2);
  origin.route("/a.mp4", media(pattern(10)));
  const link = await worker.link(`${origin.url}/a.mp4`);
  const statuses: number[] = [];
  // Its windows start at full minutes, so five requests may be counted in two of them.
  for (let i = 0; i < 5; i++) {
    const response = await fetch(link);
    await response.body?.cancel();
    statuses.push(response.status);
  }
  assert.deepEqual(statuses.slice(0, 2), [200, 200]);
  assert.ok(statuses.includes(429), String(statuses));
});
