import assert from "node:assert/strict";
import { CookieJar, cookiesAfter } from "./cookies.ts";

const URL_1 = new URL("https://cdn.test/v/m.m3u8");
const NOW = Date.UTC(2026, 0, 1);
const after = (cookies: string, ...setCookie: string[]) => cookiesAfter(cookies, URL_1, setCookie, NOW);

Deno.test("cookies: set, replaced, expired and deleted → the header's value", () => {
  assert.equal(after("", "a=1; Path=/v; HttpOnly; Secure; SameSite=None", 'b="2 3"', "c="), 'a=1; b="2 3"; c=');
  assert.equal(after("a=1; b=2", "a=3", "d=x=y"), "b=2; a=3; d=x=y");
  assert.equal(after("a=1; b=2", "a=9; Max-Age=0", "b=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), "");
  assert.equal(after("", "a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT"), "a=1", "Max-Age before Expires");
  assert.equal(after("a=1"), "a=1");
});

Deno.test("cookies: foreign Domain, control characters, no name → ignored", () => {
  assert.equal(after("", "a=1; Domain=.cdn.test", "b=2; domain=CDN.TEST", "c=3; Domain=test"), "a=1; b=2; c=3");
  assert.equal(after("", "a=1; Domain=other.test", "b=2; Domain=x.cdn.test", "c=3; Domain=n.test"), "");
  assert.equal(after("", "=1", "novalue", "a b=1", "a=\u0001", "a=x\r\ny: z", "a=ü", "a=1\\"), "");
  assert.equal(cookiesAfter("", new URL("http://cdn.test/"), ["a=1; Secure", "b=2"], NOW), "b=2");
});

Deno.test("cookies: many, or long → up to 16 and 1536 characters", () => {
  const many = Array.from({ length: 100 }, (_, i) => `c${i}=1`);
  assert.equal(after("", ...many).split("; ").length, 16);
  assert.equal(after("", `a=${"x".repeat(2000)}`, "b=2"), "b=2");
  assert.equal(after("", `a=${"x".repeat(1e6)}`), "");
});

Deno.test("jar: another scheme, host or port → no cookies", () => {
  const jar = new CookieJar();
  jar.store(URL_1, new Headers([["set-cookie", "a=1; Domain=cdn.test"], ["set-cookie", "b=2"]]), NOW);
  assert.equal(jar.header(new URL("https://cdn.test/other")), "a=1; b=2");
  assert.equal(jar.netscape(), "cdn.test\tFALSE\t/\tTRUE\t0\ta\t1\ncdn.test\tFALSE\t/\tTRUE\t0\tb\t2\n");
  for (const url of ["http://cdn.test/", "https://cdn.test:8443/", "https://x.cdn.test/", "https://evil.test/"]) {
    assert.equal(jar.header(new URL(url)), null, url);
  }
});
