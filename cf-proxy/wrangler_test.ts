// The bundle that `wrangler deploy` uploads, started in workerd.
import assert from "node:assert/strict";
import { bytesOf, media, pattern, startProxyFixture, text } from "../dev/testing/proxy_fixture.ts";
import { npxPath } from "../dev/testing/npx_path.ts";
import { WRANGLER, WRANGLER_NODE } from "../dev/testing/tool_versions.ts";
import { startWorker, type WorkerName } from "../dev/emulators/workerd/workerd.ts";

const ROOT = new URL("../", import.meta.url).pathname;

interface Bundle extends AsyncDisposable {
  readonly script: string;
  /** Wrangler's output, which lists the bindings. */
  readonly output: string;
}

/** Wrangler needs Node 22, which npx installs if the machine's is older. */
async function bundleByWrangler(worker: WorkerName): Promise<Bundle> {
  const dir = await Deno.makeTempDir({ prefix: "keepstream-wrangler-" });
  const { success, stdout, stderr } = await new Deno.Command("/usr/bin/env", {
    args: ["wrangler", "deploy", "--dry-run", "--outdir", dir],
    cwd: ROOT + worker,
    env: {
      PATH: await npxPath(WRANGLER_NODE, WRANGLER),
      WRANGLER_SEND_METRICS: "false",
      WRANGLER_LOG_PATH: dir,
      XDG_CONFIG_HOME: dir,
      NO_COLOR: "1",
    },
    stdin: "null",
  }).output();
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert.ok(success, output);
  return {
    script: await Deno.readTextFile(`${dir}/worker.js`),
    output,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

Deno.test("wrangler's bundle of the proxy → serves signed links", async () => {
  await using bundle = await bundleByWrangler("cf-proxy");
  assert.match(bundle.output, /RATE_LIMIT/);
  await using proxy = await startProxyFixture({ script: bundle.script });
  const file = pattern(10_000);
  proxy.route("/a.mp4", media(file));
  proxy.route("/m.m3u8", text("#EXTM3U\n#EXTINF:1,\na.mp4\n"));
  const range = await proxy.get("/a.mp4", { headers: { range: "bytes=100-199" } });
  assert.deepEqual([range.status, await bytesOf(range)], [206, file.slice(100, 200)]);
  const playlist = await (await proxy.get("/m.m3u8")).text();
  const segment = await fetch(playlist.split("\n")[2]!);
  assert.deepEqual([segment.status, await bytesOf(segment)], [200, file]);
  const unsigned = await fetch(`${proxy.worker.url}/proxy?url=${encodeURIComponent(`${proxy.url}/a.mp4`)}`);
  await unsigned.body?.cancel();
  assert.equal(unsigned.status, 403);
  const health = await fetch(`${proxy.worker.url}/health?deep=1`);
  assert.deepEqual([health.status, await health.json()], [200, { status: "ok" }]);
});

Deno.test("wrangler's bundle of the watch page → serves page, script and config", async () => {
  await using bundle = await bundleByWrangler("web");
  const vars = { PUBLIC_API_URL: "https://api.test/functions/v1" };
  await using web = await startWorker({ worker: "web", script: bundle.script, assets: `${ROOT}web/dist`, vars });
  for (
    const [path, expected] of [["/", /<title>/], ["/watch.js", /./], [
      "/config.json",
      /"https:\/\/api\.test\/functions\/v1"/,
    ]]
  ) {
    const response = await fetch(`${web.url}${path}`);
    assert.equal(response.status, 200);
    assert.match(await response.text(), expected as RegExp);
  }
});
