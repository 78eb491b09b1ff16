import assert from "node:assert/strict";
import fc from "fast-check";
import { KeepstreamError } from "./errors.ts";
import {
  directoryCount,
  type LinkContext,
  linkExpiry,
  parseSigningKeys,
  scopePrefix,
  signLink,
  verifyLink,
} from "./link.ts";
import { unwrap } from "./result.ts";

const K1 = "A".repeat(43);
const K2 = "B".repeat(43);
const keys = unwrap(parseSigningKeys(`k1:${K1}`));
const NOW = 1_767_000_000;
const base = { proxyBaseUrl: "https://worker.test", expiresAt: NOW + 3600, keys };

async function check(link: string, now = NOW, with_ = keys) {
  const result = await verifyLink(new URL(link), with_, now);
  return result.ok ? "ok" : result.error;
}

function altered(link: string, name: string, value: string): string {
  const url = new URL(link);
  url.searchParams.set(name, value);
  return url.href;
}

Deno.test("signLink: exact link → verifies for its URL only", async () => {
  const link = await signLink({ ...base, url: "https://cdn.test/a/b.mp4?t=1%2F2" });
  assert.match(
    link,
    /^https:\/\/worker\.test\/proxy\?url=https%3A%2F%2Fcdn\.test%2Fa%2Fb\.mp4%3Ft%3D1%252F2&exp=\d+&sig=k1\.[\w-]{22}$/,
  );
  assert.equal(await check(link), "ok");
  assert.equal(await check(altered(link, "url", "https://cdn.test/a/b.mp4?t=1%2F3")), "bad_signature");
  assert.equal(await check(altered(link, "url", "https://cdn.test/a/b.mp4")), "bad_signature");
});

Deno.test("verifyLink: exp, sc, x, kid or signature altered or missing → error", async () => {
  const link = await signLink({
    ...base,
    url: "https://cdn.test/a/b.mp4",
    context: { headers: { referer: "https://p.test/" } },
  });
  assert.equal(await check(link), "ok");
  assert.equal(await check(altered(link, "exp", String(NOW + 9999))), "bad_signature");
  assert.equal(await check(altered(link, "sc", "1")), "bad_signature");
  assert.equal(await check(altered(link, "x", "AAAA")), "bad_signature");
  const other = await signLink({
    ...base,
    url: "https://cdn.test/a/b.mp4",
    context: { headers: { referer: "https://q.test/" } },
  });
  assert.equal(await check(altered(link, "x", new URL(other).searchParams.get("x")!)), "bad_signature");
  assert.equal(await check(altered(link, "sig", `k9.${"A".repeat(22)}`)), "unknown_key");
  assert.equal(await check(altered(link, "sig", `k1.${"A".repeat(22)}`)), "bad_signature");
  assert.equal(await check(altered(link, "sig", "k1")), "malformed");
  assert.equal(await check("https://worker.test/proxy?url=https://cdn.test/a"), "unsigned");
  assert.equal(await check("https://worker.test/proxy"), "missing_url");
  assert.equal(await check("https://worker.test/proxy?url=%25"), "invalid_url");
  assert.equal(await check(`https://worker.test/proxy?url=https://cdn.test/${"a".repeat(20_000)}`), "too_long");
  assert.equal(await check(link, NOW + 3600), "expired");
});

Deno.test("verifyLink: scope → its directories, none next to or above them", async () => {
  const link = await signLink({ ...base, url: "https://cdn.test/a/b/m.m3u8", scopeDirectories: 2 });
  const refused = [
    "https://cdn.test/a/m.m3u8",
    "https://cdn.test/a/bc/m.m3u8",
    "https://cdn.test/a/b/../c.ts",
    "https://cdn.test/a/b/%2e%2e/c.ts",
    "https://cdn.test/a/b/%2e%2e%2fc.ts",
    "https://cdn.test/a/b/..%2fc.ts",
    "https://cdn.test/a/b/..%5cc.ts",
    "https://cdn.test/a/b/..%252fc.ts",
    "https://cdn.test/a/b/..\\..\\c.ts",
    "https://cdn.test.evil.test/a/b/m.m3u8",
    "https://cdn.test@evil.test/a/b/m.m3u8",
    "http://cdn.test/a/b/m.m3u8",
    "https://cdn.test:8080/a/b/m.m3u8",
    "https://evil.test/a/b/m.m3u8",
  ];
  for (const url of refused) assert.equal(await check(altered(link, "url", url)), "bad_signature", url);
  for (const url of ["https://cdn.test/a/b/1.ts?x=/../..", "https://cdn.test/a/b/c/d.ts", "https://cdn.test/a/b/"]) {
    assert.equal(await check(altered(link, "url", url)), "ok", url);
  }
});

Deno.test("verifyLink: sealed context → restored, and not readable in the link", async () => {
  const context = {
    headers: { referer: "https://p.test/e/1", "user-agent": "x" },
    megaKey: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    episode: { malId: 55825, episode: 1, provider: "animasu", server: "https://p.test/e/1" },
  };
  const link = await signLink({ ...base, url: "https://cdn.test/a", context });
  const verified = unwrap(await verifyLink(new URL(link), keys, NOW));
  assert.deepEqual(verified.context, context);
  assert.ok(!link.includes("p.test") && !link.includes(context.megaKey));
  assert.equal(await signLink({ ...base, url: "https://cdn.test/a", context }), link, "deterministic");
});

Deno.test("signLink: context too large → only the server is left out", async () => {
  const headers = { referer: "https://p.test/" };
  const named = (server: string) => ({ malId: 1, episode: 1, provider: "p", server });
  const opened = async (context: LinkContext) => {
    const link = await signLink({ ...base, url: "https://cdn.test/a", context });
    return unwrap(await verifyLink(new URL(link), keys, NOW)).context;
  };
  // 1,400 characters are 4,200 bytes.
  const { server: _server, ...episode } = named("");
  assert.deepEqual(await opened({ headers, episode: named("ア".repeat(1400)) }), { headers, episode });
  assert.deepEqual(await opened({ episode: named("ア".repeat(1400)) }), { episode });
  const room = 3044 - JSON.stringify({ e: [1, 1, "p", ""] }).length;
  const largest = { episode: named("s".repeat(room)) };
  assert.deepEqual(await opened(largest), largest);
  assert.deepEqual(await opened({ episode: named("s".repeat(room + 1)) }), { episode });
});

Deno.test("signLink: headers too large → too_large with the limit in bytes", async () => {
  const context = {
    headers: { referer: `https://p.test/${"a".repeat(4000)}` },
    episode: { malId: 1, episode: 1, provider: "p", server: "s" },
  };
  await assert.rejects(signLink({ ...base, url: "https://cdn.test/a", context }), (error: unknown) => {
    assert.ok(error instanceof KeepstreamError);
    assert.equal(error.code, "too_large");
    assert.match(error.message, /3044 bytes/);
    assert.doesNotMatch(error.message, /p\.test/);
    return true;
  });
});

Deno.test("verifyLink: two keys → both verify, the first signs", async () => {
  const both = unwrap(parseSigningKeys(`k2:${K2}, k1:${K1}`));
  const old = await signLink({ ...base, url: "https://cdn.test/a" });
  assert.equal(await check(old, NOW, both), "ok");
  const fresh = await signLink({ ...base, keys: both, url: "https://cdn.test/a" });
  assert.match(fresh, /sig=k2\./);
  assert.equal(await check(fresh, NOW, both), "ok");
  assert.equal(await check(fresh), "unknown_key");
});

Deno.test("parseSigningKeys: short, duplicate, nameless or no keys → error", () => {
  for (const text of ["", "k1", "k1:short", `k1:${K1},k1:${K2}`, `a b:${K1}`, "k1:***"]) {
    assert.equal(parseSigningKeys(text).ok, false, text);
  }
});

Deno.test("signLink: any URL and scope → verifies, an altered signature fails", async () => {
  const path = fc.array(fc.stringMatching(/^[a-zA-Z0-9 ._~ü+%&=-]{1,12}$/), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(path, fc.string(), fc.nat(4), fc.nat(21), async (parts, query, scope, at) => {
      const url = new URL(`https://cdn.test/${parts.map(encodeURIComponent).join("/")}?${encodeURIComponent(query)}`);
      const scopeDirectories = Math.min(scope, directoryCount(url));
      if (scopePrefix(url, scopeDirectories) === null) return;
      const link = await signLink({ ...base, url: url.href, scopeDirectories });
      const verified = unwrap(await verifyLink(new URL(link), keys, NOW));
      assert.equal(verified.url.href, url.href);
      const sig = new URL(link).searchParams.get("sig")!;
      const digit = sig[3 + at]!;
      // The last character carries four bits only: flip a high one.
      const changed = sig.slice(0, 3 + at) + (digit === "A" || digit === "B" ? "g" : "A") + sig.slice(4 + at);
      assert.equal(await check(altered(link, "sig", changed)), "bad_signature");
    }),
    { numRuns: 200 },
  );
});

Deno.test("linkExpiry: reloads within a quarter of the lifetime → same expiry", () => {
  const first = linkExpiry(NOW, 3600);
  assert.ok(first >= NOW + 3600 && first < NOW + 4500 + 1);
  assert.equal(linkExpiry(first - 3600, 3600), first);
});
