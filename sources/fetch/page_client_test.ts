import assert from "node:assert/strict";
import {
  CHALLENGE_PAGE,
  createSites,
  endlessPage,
  hangs,
  htmlResponse,
  inTurn,
  type Site,
} from "../../dev/emulators/sites/sites.ts";
import { createPerHostLimiter } from "./per_host_limiter.ts";
import { createPageClient, MAX_PAGE_BYTES, type PageClientOptions } from "./page_client.ts";
import { SourceError } from "../source_error.ts";

function client(sites: Readonly<Record<string, Site>>, options: Partial<PageClientOptions> = {}) {
  const { fetch, requests } = createSites(sites);
  return { pages: createPageClient({ fetch, signal: new AbortController().signal, ...options }), requests };
}

const refusedAs = (...reasons: string[]) => (error: unknown) =>
  error instanceof SourceError && reasons.includes(error.reason);
const redirect = (location: string, status = 302): Site => () => new Response(null, { status, headers: { location } });

/** URLs that are refused, requested directly or as the target of a redirect, and the reason. */
const REFUSED: readonly (readonly [url: string, reason: "policy_denied" | "invalid_input"])[] = [
  ["http://127.1/", "policy_denied"],
  ["http://0x7f.1/", "policy_denied"],
  ["http://2130706433/", "policy_denied"],
  ["http://0177.0.0.1/", "policy_denied"],
  ["http://①②⑦.⓪.⓪.①/", "policy_denied"],
  ["http:127.0.0.1", "policy_denied"],
  ["http:\\\\127.0.0.1\\", "policy_denied"],
  ["ht\ntp://127.0.0.1/", "policy_denied"],
  ["http://[::ffff:127.0.0.1]/", "policy_denied"],
  ["http://[::]/", "policy_denied"],
  ["http://0/", "policy_denied"],
  ["http://[64:ff9b::7f00:1]/", "policy_denied"],
  ["http://[2002:7f00:1::]/", "policy_denied"],
  ["http://[fd00:ec2::254]/", "policy_denied"],
  ["http://169.254.169.254/latest/meta-data/", "policy_denied"],
  ["http://metadata.google.internal/", "policy_denied"],
  ["http://localhost./", "policy_denied"],
  ["http://good.test@169.254.169.254/", "policy_denied"],
  ["https://good.test:25/", "policy_denied"],
  ["https://good.test:5432/", "policy_denied"],
  ["https://good.test:0/", "policy_denied"],
  ["file:///etc/passwd", "invalid_input"],
  ["data:text/html,x", "invalid_input"],
  ["javascript:alert(1)", "invalid_input"],
  ["ftp://good.test/a", "invalid_input"],
  ["blob:https://good.test/1", "invalid_input"],
  ["magnet:?xt=urn:btih:1", "invalid_input"],
  ["https://good.test/a\r\nx", "invalid_input"],
  ["https://good.test/\0", "invalid_input"],
  [`https://good.test/${"a".repeat(20_000)}`, "invalid_input"],
];

Deno.test("page client: refused URL → error before any request", async () => {
  for (const [url, reason] of REFUSED) {
    const { pages, requests } = client({});
    await assert.rejects(pages.read(url), refusedAs(reason), JSON.stringify(url));
    assert.deepEqual(requests, []);
  }
});

Deno.test("page client: redirect to a refused URL → error", async () => {
  for (const [url] of REFUSED) {
    if (/[\0\r\n⓪]/.test(url)) continue; // not possible in a header
    // Relative to a web page, `http:127.0.0.1` is a path: the redirect stays on the site, as in browsers.
    if (url === "http:127.0.0.1") continue;
    const { pages, requests } = client({ "good.test": redirect(url) });
    await assert.rejects(pages.read("http://good.test/start"), refusedAs("policy_denied", "invalid_input"), url);
    assert.equal(requests.length, 1, url);
  }
});

Deno.test("page client: allow-list → whole host names, not suffixes", async () => {
  const policy = { allowedHosts: ["good.test"] };
  for (const host of ["good.test.evil.test", "notgood.test", "evil.test"]) {
    const { pages, requests } = client({ [host]: () => new Response("x") }, { policy });
    await assert.rejects(pages.read(`https://${host}/`), refusedAs("policy_denied"));
    assert.deepEqual(requests, []);
  }
  const { pages } = client({ "good.test": () => new Response("x") }, { policy });
  assert.equal((await pages.read("https://good.test/")).text, "x");
});

Deno.test("page client: redirect loop → ends after five redirects", async () => {
  const { pages, requests } = client({ "loop.test": redirect("https://loop.test/again") });
  await assert.rejects(pages.read("https://loop.test/"), refusedAs("http_5xx"));
  assert.equal(requests.length, 6);
});

Deno.test("page client: redirect, also relative → followed, final URL", async () => {
  const { pages } = client({
    "a.test": redirect("//b.test/x/y"),
    "b.test": (_request, url) =>
      url.pathname === "/x/y" ? redirect("../z")(_request, url) as Response : htmlResponse("there"),
  });
  assert.deepEqual([(await pages.read("https://a.test/")).url, (await pages.read("https://a.test/")).text], [
    "https://b.test/z",
    "there",
  ]);
});

Deno.test("page client: redirected POST → GET without body, except 307", async () => {
  const site: Site = async (request) => htmlResponse(`${request.method} ${await request.text()}`);
  for (const [status, expected] of [[302, "GET "], [303, "GET "], [307, "POST a=1"]] as const) {
    const { pages } = client({ "a.test": redirect("https://b.test/", status), "b.test": site });
    assert.equal((await pages.read("https://a.test/", { method: "POST", body: () => "a=1" })).text, expected);
  }
});

Deno.test("page client: page of 50 MB → read up to the limit", async () => {
  const endless = endlessPage(50 * 1024 * 1024);
  const { pages } = client({ "big.test": endless.site });
  await assert.rejects(pages.read("https://big.test/"), refusedAs("too_large"));
  assert.ok(endless.produced() < MAX_PAGE_BYTES + 256 * 1024);
});

Deno.test("page client: false Content-Length → same limit", async () => {
  const { pages } = client({
    "big.test": () => new Response("x".repeat(2_000), { headers: { "content-length": "10" } }),
  });
  await assert.rejects(pages.read("https://big.test/", { maxBytes: 1_000 }), refusedAs("too_large"));
});

Deno.test("page client: 500, 503, 429 → repeated; 404 → not", async () => {
  const error = (status: number, headers = {}) => () => new Response("", { status, headers });
  const good = () => htmlResponse("good");
  for (const [first, calls] of [[error(500), 2], [error(503), 2], [error(429, { "retry-after": "0" }), 2]] as const) {
    const { pages, requests } = client({ "a.test": inTurn(first, good) });
    assert.equal((await pages.read("https://a.test/")).text, "good");
    assert.equal(requests.length, calls);
  }
  const { pages, requests } = client({ "a.test": error(404) });
  await assert.rejects(pages.read("https://a.test/"), refusedAs("http_4xx"));
  assert.equal(requests.length, 1);
});

Deno.test("page client: a site that keeps failing → three attempts", async () => {
  const { pages, requests } = client({ "a.test": () => new Response("", { status: 502 }) });
  await assert.rejects(pages.read("https://a.test/"), refusedAs("http_5xx"));
  assert.equal(requests.length, 3);
});

Deno.test("page client: challenge page → blocked, not repeated", async () => {
  const { pages, requests } = client({ "a.test": () => htmlResponse(CHALLENGE_PAGE, { status: 503 }) });
  await assert.rejects(pages.read("https://a.test/"), refusedAs("blocked"));
  assert.equal(requests.length, 1);
});

Deno.test("page client: site hangs → timeout or cancelled, as the signal says", async () => {
  for (const [name, reason] of [["TimeoutError", "timeout"], ["AbortError", "cancelled"]] as const) {
    const abort = new AbortController();
    const { pages } = client({ "a.test": hangs }, { signal: abort.signal });
    const reading = pages.read("https://a.test/");
    abort.abort(new DOMException("enough", name));
    await assert.rejects(reading, refusedAs(reason));
  }
});

Deno.test("page client: name that does not resolve → network, three tries", async () => {
  const { pages, requests } = client({});
  await assert.rejects(pages.read("https://nowhere.test/"), refusedAs("network"));
  assert.equal(requests.length, 3);
});

Deno.test("page client: charset → decoded; unknown charset → UTF-8", async () => {
  const site = (charset: string): Site => () =>
    new Response(new Uint8Array([0xe9]), { headers: { "content-type": `text/html; charset=${charset}` } });
  assert.equal((await client({ "a.test": site("iso-8859-1") }).pages.read("https://a.test/")).text, "é");
  assert.equal((await client({ "a.test": site("klingon") }).pages.read("https://a.test/")).text, "\ufffd");
});

Deno.test("page client: response that is not JSON → parse", async () => {
  const { pages } = client({ "a.test": () => new Response("<html>") });
  await assert.rejects(pages.json("https://a.test/"), refusedAs("parse"));
});

Deno.test("page client: error → message without query and token", async () => {
  const { pages } = client({
    "a.test": () => Promise.reject(new TypeError("error sending request for https://a.test/x?token=hf_secretsecret")),
  });
  await assert.rejects(pages.read("https://a.test/x?token=hf_secretsecret"), (error) => {
    return error instanceof SourceError && !error.message.includes("secret");
  });
});

Deno.test("limiter: host at its cap → waits; other hosts proceed", async () => {
  let running = 0;
  let most = 0;
  const slow: Site = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
    return htmlResponse("x");
  };
  const { pages } = client({ "a.test": slow, "b.test": () => htmlResponse("b") }, { limiter: createPerHostLimiter(2) });
  const all = Promise.all(Array.from({ length: 8 }, () => pages.read("https://a.test/")));
  assert.equal((await pages.read("https://b.test/")).text, "b");
  await all;
  assert.equal(most, 2);
});

Deno.test("limiter: redirect to a busy host → waits without a slot elsewhere", async () => {
  let [running, most] = [0, 0];
  const slow: Site = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
    return htmlResponse("x");
  };
  const limiter = createPerHostLimiter(1);
  const { pages } = client({
    "a.test": redirect("https://c.test/"),
    "b.test": redirect("https://c.test/"),
    "c.test": slow,
  }, { limiter });
  const all = Promise.all(["a", "b", "a", "b"].map((name) => pages.read(`https://${name}.test/`)));
  assert.deepEqual((await all).map(({ url }) => url), Array(4).fill("https://c.test/"));
  assert.equal(most, 1);
  const cross = (other: string): Site => (_request, url) =>
    url.pathname === "/" ? Response.redirect(`https://${other}.test/end`) : htmlResponse(other);
  const crossed = client({ "a.test": cross("b"), "b.test": cross("a") }, { limiter }).pages;
  const texts = await Promise.all(
    ["a", "b", "a", "b"].map(async (name) => (await crossed.read(`https://${name}.test/`)).text),
  );
  assert.deepEqual(texts, ["a", "b", "a", "b"]);
});

Deno.test("limiter: an aborted waiter → leaves the queue, the next one runs", async () => {
  const gate = createPerHostLimiter(1);
  let release = () => {};
  const first = gate.run(
    "a",
    { signal: new AbortController().signal },
    () => new Promise<void>((resolve) => (release = resolve)),
  );
  const abort = new AbortController();
  const second = gate.run("a", { signal: abort.signal }, () => Promise.resolve("second"));
  const third = gate.run("a", { signal: new AbortController().signal }, () => Promise.resolve("third"));
  abort.abort(new Error("no longer wanted"));
  await assert.rejects(second, /no longer wanted/);
  release();
  await first;
  assert.equal(await third, "third");
});

Deno.test("page client: lookup that hangs → timeout, its slot is released", async () => {
  const limiter = createPerHostLimiter(1);
  const { pages, requests } = client({ "a.test": () => htmlResponse("x") }, {
    limiter,
    timeoutMs: 20,
    beforeRequest: () => new Promise(() => {}),
  });
  await assert.rejects(pages.read("https://a.test/"), refusedAs("timeout"));
  assert.deepEqual(requests, []);
  assert.equal(
    await limiter.run("a.test", { signal: new AbortController().signal }, () => Promise.resolve("free")),
    "free",
  );
});

Deno.test("page client: slow body → timeout within the body", async () => {
  const drip: Site = (request) => {
    const body = new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        if (request.signal.aborted) return controller.error(request.signal.reason);
        controller.enqueue(new Uint8Array([60]));
      },
    });
    return new Response(body);
  };
  await assert.rejects(
    client({ "a.test": drip }, { timeoutMs: 50 }).pages.read("https://a.test/"),
    refusedAs("timeout"),
  );
});

const timedOut = () => new DOMException("given up", "TimeoutError");

Deno.test("page client: aborted while waiting for the limiter → busy", async () => {
  const limiter = createPerHostLimiter(1);
  const held = Promise.withResolvers<void>();
  const holding = limiter.run("a.test", { signal: new AbortController().signal }, () => held.promise);
  const limit = new AbortController();
  const { pages, requests } = client({ "a.test": hangs }, { limiter, signal: limit.signal });
  const waiting = pages.read("https://a.test/");
  limit.abort(timedOut());
  await assert.rejects(waiting, refusedAs("busy"));
  assert.deepEqual(requests, []);
  held.resolve();
  await holding;
});

Deno.test("limiter: cut off before its time → busy; after it → timeout", async () => {
  for (const [timeoutMs, code] of [[60_000, "busy"], [20, "timeout"]] as const) {
    const limiter = createPerHostLimiter(1);
    const held = Promise.withResolvers<void>();
    const holding = limiter.run("a.test", { signal: new AbortController().signal }, () => held.promise);
    const limit = new AbortController();
    const requested = Promise.withResolvers<void>();
    const site: Site = (request) => (requested.resolve(), hangs(request));
    const { pages } = client({ "a.test": site }, { limiter, signal: limit.signal, timeoutMs });
    const reading = assert.rejects(pages.read("https://a.test/"), refusedAs(code));
    held.resolve();
    await holding;
    await requested.promise;
    if (code === "busy") limit.abort(timedOut());
    await reading;
  }
});

Deno.test("limiter: immediate start, cut off by the read's limit → timeout", async () => {
  const limit = new AbortController();
  const requested = Promise.withResolvers<void>();
  const site: Site = (request) => (requested.resolve(), hangs(request));
  const { pages } = client({ "a.test": site }, { limiter: createPerHostLimiter(1), signal: limit.signal });
  const reading = assert.rejects(pages.read("https://a.test/"), refusedAs("timeout"));
  await requested.promise;
  limit.abort(timedOut());
  await reading;
});
