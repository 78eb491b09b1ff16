// Archive reads from the Hub emulator that the runner's uploads are tested with.
import assert from "node:assert/strict";
import { createRepo, uploadFile } from "@huggingface/hub";
import { archiveLocation, archiveUrl } from "../../core/archive_location.ts";
import { createTestHub, type TestHub } from "../../dev/emulators/hub/test_hub.ts";
import {
  bytesOf,
  codeOf,
  media,
  pattern,
  type ProxyFixture,
  proxyTest,
  send,
  startOrigin,
  startProxyFixture,
} from "../../dev/testing/proxy_fixture.ts";

const FILE = pattern(700_000);
const KEY = "0123456789abcdef0123456789abcdef";

interface Archive extends AsyncDisposable {
  readonly proxy: ProxyFixture;
  readonly bench: TestHub;
  /** The copy on the first account. */
  readonly url: string;
}

/** A Hub with two accounts that have the file (or only `holders` have it), and a Worker with their tokens. */
async function startArchive(
  options: { accounts?: string[]; holders?: string[]; now?: () => number; vars?: Record<string, string> } = {},
): Promise<Archive> {
  const accounts = options.accounts ?? ["alice", "bob"];
  const bench = await createTestHub({ accounts, ...(options.now && { now: options.now }) });
  for (const username of options.holders ?? accounts) {
    const { repo, path } = archiveLocation({ username, prefix: "archive", malId: 5, episode: 1, fileKey: KEY });
    const access = {
      accessToken: `hf_${username}Token`,
      hubUrl: bench.hub.url,
      repo: { type: "dataset" as const, name: repo },
    };
    await createRepo({ ...access, private: true });
    await uploadFile({ ...access, file: { path, content: new Blob([FILE]) } });
  }
  bench.hub.calls.length = 0;
  const vars = { ...bench.env, ...options.vars };
  const proxy = await startProxyFixture({ vars, origins: [bench.hub.cdnUrl], sign: { context: { archive: true } } });
  const location = archiveLocation({ username: accounts[0]!, prefix: "archive", malId: 5, episode: 1, fileKey: KEY });
  return {
    proxy,
    bench,
    url: archiveUrl(bench.hub.url, location),
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await bench[Symbol.asyncDispose]();
    },
  };
}

function archive(
  title: string,
  run: (archive: Archive) => Promise<void>,
  options?: Parameters<typeof startArchive>[0],
): void {
  Deno.test(`archive: ${title}`, async () => {
    await using started = await startArchive(options);
    await run(started);
  });
}

Deno.test("archive: the Hub's token → sent to the Hub only, not in link or log", async () => {
  // Two plain origins as Hub and CDN, to check every header.
  await using cdn = await startOrigin();
  cdn.route("/", media(FILE, { etag: '"the-cdn\'s-own"' }));
  const account = { HF_STORAGE_USERNAME_1: "alice", HF_TOKEN_STORAGE_1: "hf_secret" };
  await using proxy = await startProxyFixture({
    vars: (originUrl) => ({ HF_ENDPOINT: originUrl, ...account }),
    origins: [cdn.url],
    sign: { context: { archive: true } },
  });
  const headers = { location: `${cdn.url}/a?Expires=4000000000`, "x-linked-etag": '"sha"' };
  proxy.route("/datasets/", (_request, response) => send(response, 302, headers));
  const path = `/datasets/alice/archive-5/resolve/main/5/ep1/${KEY}.mp4`;
  const sent = { range: "bytes=5-9", "if-range": '"sha"', authorization: "Bearer viewer" };
  const response = await proxy.get(path, { headers: sent });
  assert.equal(response.status, 206);
  assert.equal(response.headers.get("etag"), '"sha"');
  assert.deepEqual(await bytesOf(response), FILE.slice(5, 10));
  assert.equal(proxy.seen[0]!.headers.get("authorization"), "Bearer hf_secret");
  assert.equal(cdn.seen[0]!.headers.get("authorization"), null);
  assert.equal(cdn.seen[0]!.headers.get("if-range"), null, "not the CDN's tag");
  const visible = [await proxy.link(path), ...[...response.headers].flat(), proxy.worker.output()].join("\n");
  assert.ok(!visible.includes("hf_secret"));
});

archive("private file on the Hub → read in ranges through the CDN", async ({ proxy, bench, url }) => {
  const whole = await proxy.get(url);
  assert.equal(whole.status, 200);
  assert.equal(whole.headers.get("content-type"), "video/mp4");
  assert.equal(whole.headers.get("content-disposition"), "inline");
  assert.deepEqual(await bytesOf(whole), FILE);
  const range = await proxy.get(url, { headers: { range: "bytes=-100" } });
  assert.equal(range.status, 206);
  assert.equal(range.headers.get("content-range"), `bytes ${FILE.length - 100}-${FILE.length - 1}/${FILE.length}`);
  assert.deepEqual(await bytesOf(range), FILE.slice(-100));
  const head = await proxy.get(url, { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get("content-length"), String(FILE.length));
  assert.equal(bench.countCalls("resolve"), 1);
});

proxyTest("hub: relative redirect (small files) → followed with the token", async (proxy) => {
  proxy.route("/datasets/", (_request, response) => send(response, 307, { location: "/api/resolve-cache/x?etag=1" }));
  proxy.route("/api/resolve-cache/", media(FILE.slice(0, 100), { type: "image/jpeg" }));
  const path = `/datasets/alice/archive-5/resolve/main/5/ep1/${KEY}.sprite.jpg`;
  const response = await proxy.get(path, { headers: { range: "bytes=1-2" } });
  assert.equal(response.status, 206);
  assert.deepEqual(await bytesOf(response), FILE.slice(1, 3));
  assert.deepEqual(proxy.seen.map((one) => one.headers.get("authorization")), ["Bearer hf_secret", "Bearer hf_secret"]);
}, {
  sign: { context: { archive: true } },
  vars: (originUrl) => ({ HF_ENDPOINT: originUrl, HF_STORAGE_USERNAME_1: "alice", HF_TOKEN_STORAGE_1: "hf_secret" }),
});

Deno.test("archive: another link to an account's private file → no token, no file", async (t) => {
  await using archive = await startArchive();
  const { proxy, bench, url } = archive;
  const refused = async (response: Response) => {
    assert.notEqual(response.status, 200);
    assert.notDeepEqual(await bytesOf(response), FILE);
  };
  await t.step("a provider's link to the copy", async () => {
    await refused(await proxy.get(url, { sign: { context: {} } }));
    await refused(await proxy.get(url, { sign: { context: { headers: { referer: "https://p.test/" } } } }));
  });
  await t.step("another host's playlist that lists the copy", async () => {
    proxy.route(
      "/evil.m3u8",
      (_request, response) =>
        send(
          response,
          200,
          { "content-type": "application/vnd.apple.mpegurl" },
          `#EXTM3U\n#EXTINF:4,\n${url}\n#EXT-X-ENDLIST\n`,
        ),
    );
    const playlist = await (await proxy.get("/evil.m3u8", { sign: { context: {} } })).text();
    const child = playlist.split("\n").find((line) => line.includes("/proxy?"));
    if (child !== undefined) await refused(await fetch(new URL(child, proxy.worker.url)));
  });
  await t.step("an archive link to another file of the account", async () => {
    const access = { accessToken: "hf_aliceToken", hubUrl: bench.hub.url };
    const repo = { type: "dataset" as const, name: "alice/private-notes" };
    await createRepo({ ...access, repo, private: true });
    await uploadFile({ ...access, repo, file: { path: "notes.mp4", content: new Blob([FILE]) } });
    await refused(await proxy.get(`${bench.hub.url}/datasets/alice/private-notes/resolve/main/notes.mp4`));
  });
});

archive("100 ranges of one file → one request to the Hub", async ({ proxy, bench, url }) => {
  for (let i = 0; i < 100; i++) {
    const start = i * 7000;
    const response = await proxy.get(url, { headers: { range: `bytes=${start}-${start + 99}` } });
    assert.equal(response.status, 206);
    assert.deepEqual(await bytesOf(response), FILE.slice(start, start + 100));
  }
  assert.equal(bench.countCalls("resolve"), 1);
  assert.equal(bench.countCalls("cdn"), 100);
});

archive("20 ranges at the same moment → one request to the Hub", async ({ proxy, bench, url }) => {
  const parts = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const response = await proxy.get(url, { headers: { range: `bytes=${i}-${i + 9}` } });
    return await bytesOf(response);
  }));
  assert.deepEqual(parts, parts.map((_, i) => FILE.slice(i, i + 10)));
  assert.equal(bench.countCalls("resolve"), 1);
});

Deno.test("archive: the request that resolves the file is aborted → others play", async () => {
  await using cdn = await startOrigin();
  cdn.route("/", media(FILE));
  const account = { HF_STORAGE_USERNAME_1: "alice", HF_TOKEN_STORAGE_1: "hf_a" };
  await using proxy = await startProxyFixture({
    vars: (originUrl) => ({ HF_ENDPOINT: originUrl, ...account }),
    origins: [cdn.url],
    sign: { context: { archive: true } },
  });
  const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
  proxy.route("/datasets/", (_request, response) => {
    // The first request gets no response.
    if (proxy.seen.length === 1) return ask();
    send(response, 302, { location: `${cdn.url}/a?Expires=4000000000`, "x-linked-etag": '"sha"' });
  });
  const path = `/datasets/alice/archive-5/resolve/main/5/ep1/${KEY}.mp4`;
  const viewer = new AbortController();
  const first = proxy.get(path, { signal: viewer.signal }).catch(() => null);
  await asked;
  const second = proxy.get(path, { headers: { range: "bytes=10-19" } });
  viewer.abort();
  assert.equal(await first, null);
  assert.deepEqual(await bytesOf(await second), FILE.slice(10, 20));
});

let clock = 0;
archive(
  "CDN URL expires during playback → resolved again",
  async ({ proxy, bench, url }) => {
    const first = await proxy.get(url, { headers: { range: "bytes=0-99" } });
    assert.deepEqual(await bytesOf(first), FILE.slice(0, 100));
    clock += 4000;
    const next = await proxy.get(url, { headers: { range: "bytes=100-199", "if-range": first.headers.get("etag")! } });
    assert.equal(next.status, 206);
    assert.deepEqual(await bytesOf(next), FILE.slice(100, 200));
    assert.equal(bench.countCalls("resolve"), 2);
  },
  { now: () => Date.now() / 1000 + clock },
);

archive("CDN: one 403 or 404 → resolved again once, then served", async ({ proxy, bench, url }) => {
  for (const failure of ["cdn_403", "cdn_404"] as const) {
    bench.hub.fail(failure);
    const response = await proxy.get(url, { headers: { range: "bytes=0-9" } });
    assert.equal(response.status, 206, failure);
    assert.deepEqual(await bytesOf(response), FILE.slice(0, 10));
  }
  assert.equal(bench.countCalls("resolve"), 3);
});

for (const failure of ["resolve_429", "resolve_500", "resolve_403", "resolve_404"] as const) {
  archive(
    `Hub ${failure.replace("resolve_", "")} of one account → another account's copy, also for later ranges`,
    async ({ proxy, bench, url }) => {
      bench.hub.fail(failure);
      for (let i = 0; i < 3; i++) {
        const response = await proxy.get(url, { headers: { range: `bytes=${i}-9` } });
        assert.equal(response.status, 206);
        assert.deepEqual(await bytesOf(response), FILE.slice(i, 10));
      }
      // One call for the failing account and one for the other.
      assert.equal(bench.countCalls("resolve"), 2);
    },
  );
}

archive(
  "missing on the first Hub account → the second one's, same tag",
  async ({ proxy, url }) => {
    const response = await proxy.get(url);
    assert.equal(response.status, 200);
    assert.match(response.headers.get("etag")!, /^"[0-9a-f]{64}"$/);
    assert.deepEqual(await bytesOf(response), FILE);
  },
  { holders: ["bob"] },
);

archive(
  "Hub token refused → 502, no copy → 404, rate limit → 503",
  async ({ proxy, bench, url }) => {
    const missing = await proxy.get(url.replace(KEY, KEY.replace("0", "f")));
    assert.equal(missing.status, 404);
    assert.equal(await codeOf(missing), "archive_missing");
    bench.hub.fail("resolve_429", { times: 2 });
    const busy = await proxy.get(url);
    assert.equal(busy.status, 503);
    assert.equal(busy.headers.get("retry-after"), "1");
    assert.equal(await codeOf(busy), "archive_busy");
    bench.hub.fail("resolve_403", { times: 2 });
    const refused = await proxy.get(url);
    assert.equal(refused.status, 502);
    assert.equal(refused.headers.get("www-authenticate"), null);
    const problem = await refused.text();
    assert.match(problem, /archive_unauthorized/);
    assert.ok(!problem.includes("hf_") && !problem.includes(bench.hub.url));
  },
);

Deno.test("hub: ETag is the content hash → 304; If-Range of the CDN's tag → 200", async () => {
  await using archive = await startArchive();
  const { proxy, bench, url } = archive;
  const first = await proxy.get(url, { headers: { range: "bytes=0-9" } });
  const etag = first.headers.get("etag")!;
  await first.body?.cancel();
  const calls = bench.hub.calls.length;
  const same = await proxy.get(url, { headers: { "if-none-match": `"x", ${etag}` } });
  assert.equal(same.status, 304);
  assert.equal(bench.hub.calls.length, calls, "no request to Hub or CDN");
  const other = await proxy.get(url, { headers: { range: "bytes=0-9", "if-range": '"other"' } });
  assert.equal(other.status, 200);
  await other.body?.cancel();
});

Deno.test("redirect mode: archive link → 302 to the CDN's signed URL", async () => {
  await using archive = await startArchive({ vars: { REDIRECT_MODE: "on" } });
  const { proxy, bench, url } = archive;
  const response = await proxy.get(url, { headers: { range: "bytes=0-9" } });
  assert.equal(response.status, 302);
  const location = response.headers.get("location")!;
  assert.ok(location.startsWith(bench.hub.cdnUrl));
  assert.ok(!location.includes("hf_"));
  await response.body?.cancel();
  const direct = await fetch(location, { headers: { range: "bytes=0-9" } });
  assert.deepEqual(await bytesOf(direct), FILE.slice(0, 10));
});
