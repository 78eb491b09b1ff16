import assert from "node:assert/strict";
import { playlistOf, readClip } from "../../dev/emulators/origin/clip.ts";
import { startForwardProxy } from "../network/forward_proxy.ts";
import { createGuardedFetch } from "../network/guarded_fetch.ts";
import { downloadHls } from "./hls.ts";
import { planHls } from "./hls_plan.ts";

const SEGMENTS = 40;

for (const status of [429, 503]) {
  Deno.test(`downloadHls: ${status} to a second connection → every segment arrives`, async () => {
    const segment = (await readClip()).ts[3]!;
    let open = 0;
    let refused = 0;
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
      if (request.url.endsWith(".m3u8")) {
        return new Response(playlistOf(Array.from({ length: SEGMENTS }, (_, i) => `/s${i}.ts`)));
      }
      if (open > 0) {
        refused++;
        return new Response(null, { status });
      }
      open++;
      await new Promise((done) => setTimeout(done, 50));
      open--;
      return new Response(segment);
    });
    const url = `http://127.0.0.1:${server.addr.port}`;
    const policy = { allowedOrigins: [url] };
    await using proxy = startForwardProxy();
    const line = proxy.openSession({ policy, maxBytes: 1e9 });
    const dir = await Deno.makeTempDir();
    const request = { fetch: createGuardedFetch(line), policy, headers: {}, signal: new AbortController().signal };
    try {
      const plan = await planHls(`${url}/v.m3u8`, { ...request, wanted: null });
      const [video] = await downloadHls(plan, {
        ...request,
        dir: `${dir}/segments`,
        connections: 32,
        resolveAgain: () => Promise.resolve(plan),
        onProgress: () => {},
      });
      const sizes = await Promise.all(video!.files.map(async (file) => (await Deno.stat(file)).size));
      assert.deepEqual(sizes, sizes.map(() => segment.length));
      assert.equal(sizes.length, SEGMENTS);
      assert.ok(refused > 0);
    } finally {
      line.close();
      await server.shutdown();
      await Deno.remove(dir, { recursive: true });
    }
  });
}

Deno.test("downloadHls: a transfer that fails once → the segment is retried", async () => {
  const { ts } = await readClip();
  let failed = false;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, (request) => {
    if (request.url.endsWith(".m3u8")) return new Response(playlistOf(ts.map((_, i) => `/s${i}.ts`)));
    const index = Number(/s(\d+)\.ts$/.exec(request.url)![1]);
    if (index !== 2 || failed) return new Response(ts[index]!);
    failed = true;
    return new Response(ts[index]!.slice(0, 1000)); // cut inside a packet
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const policy = { allowedOrigins: [url] };
  await using proxy = startForwardProxy();
  const session = proxy.openSession({ policy, maxBytes: 1e9 });
  const dir = await Deno.makeTempDir();
  const request = { fetch: createGuardedFetch(session), policy, headers: {}, signal: new AbortController().signal };
  try {
    const plan = await planHls(`${url}/v.m3u8`, { ...request, wanted: null });
    const options = {
      dir: `${dir}/segments`,
      connections: 4,
      resolveAgain: () => Promise.resolve(plan),
      onProgress: () => {},
    };
    const [video] = await downloadHls(plan, { ...request, ...options });
    assert.deepEqual([...video!.retried], [2]);
  } finally {
    session.close();
    await server.shutdown();
    await Deno.remove(dir, { recursive: true });
  }
});
