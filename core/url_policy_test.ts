import assert from "node:assert/strict";
import { checkUrl, isPrivateAddress, type UrlPolicy } from "./url_policy.ts";

function code(url: string, policy: UrlPolicy = {}): string {
  const result = checkUrl(url, policy);
  return result.ok ? "ok" : result.error.code;
}

const DENIED = [
  "http://127.1/",
  "http://0x7f.1/",
  "http://2130706433/",
  "http://0177.0.0.1/",
  "http://①②⑦.⓪.⓪.①/",
  "http:127.0.0.1",
  "http:\\\\127.0.0.1\\",
  "ht\ntp://127.0.0.1",
  "http://[::ffff:127.0.0.1]/",
  "http://[::ffff:7f00:1]/",
  "http://[::]/",
  "http://0/",
  "http://[64:ff9b::7f00:1]/",
  "http://[2002:7f00:1::]/",
  "http://[fd00:ec2::254]/",
  "http://169.254.169.254/latest/meta-data/",
  "http://metadata.google.internal/",
  "http://localhost./",
  "http://localhost:8080/",
  "http://a.localhost/",
  "http://good.test@169.254.169.254/",
  "http://user:pass@good.test/",
  "http://100.64.0.1/",
  "http://10.1.2.3/",
  "http://intranet/",
  "http://good.test:25/",
  "http://good.test:5432/",
  "http://good.test:0/",
  "https://127.0.0.1./",
];

for (const url of DENIED) {
  Deno.test(`checkUrl: ${JSON.stringify(url)} → policy_denied`, () => {
    assert.equal(code(url), "policy_denied");
  });
}

Deno.test("checkUrl: another scheme, control characters, length → invalid_input", () => {
  const schemes = [
    "file:///etc/passwd",
    "data:,x",
    "javascript:alert(1)",
    "ftp://a.test/",
    "blob:https://a.test/1",
    "magnet:?xt=1",
  ];
  const control = ["https://a.test/\r\nHost: b", "https://a.test/a\0b", "https://a.test/\tb"];
  for (const url of [...schemes, ...control, "", "a.test/x", `https://a.test/${"a".repeat(16_400)}`]) {
    assert.equal(code(url), "invalid_input", url.slice(0, 40));
  }
});

Deno.test("checkUrl: public hosts on ports 80, 443, 8080, EXTRA_PORTS → ok", () => {
  for (const url of ["https://a.test/", "http://a.test:8080/x", "https://8.8.8.8/", "https://[2606:4700::1111]/"]) {
    assert.equal(code(url), "ok", url);
  }
  assert.equal(code("https://a.test:8443/"), "policy_denied");
  assert.equal(code("https://a.test:8443/", { extraPorts: [8443] }), "ok");
});

Deno.test("checkUrl: host list → exact names, or below a leading dot", () => {
  const policy = { allowedHosts: ["good.test", ".cdn.test"] };
  assert.equal(code("https://good.test/", policy), "ok");
  assert.equal(code("https://a.cdn.test/", policy), "ok");
  for (const host of ["good.test.evil.test", "notgood.test", "cdn.test", "evilcdn.test"]) {
    assert.equal(code(`https://${host}/`, policy), "policy_denied", host);
  }
});

Deno.test("checkUrl: own host → refused, even as a development origin", () => {
  const policy = { ownHosts: ["127.0.0.1:8787"], allowedOrigins: ["http://127.0.0.1:8787", "http://127.0.0.1:5000"] };
  assert.equal(code("http://127.0.0.1:8787/proxy?url=x", policy), "policy_denied");
  assert.equal(code("http://127.0.0.1:5000/a.mp4", policy), "ok");
  assert.equal(code("http://127.0.0.1:5001/a.mp4", policy), "policy_denied");
});

Deno.test("isPrivateAddress: special ranges → true, their neighbours → false", () => {
  const rows: [string, boolean][] = [
    ["9.255.255.255", false],
    ["10.0.0.0", true],
    ["100.63.255.255", false],
    ["100.127.255.255", true],
    ["172.15.0.1", false],
    ["172.31.255.255", true],
    ["192.169.0.1", false],
    ["198.18.0.1", true],
    ["223.255.255.255", false],
    ["224.0.0.1", true],
    ["255.255.255.255", true],
    ["::1", true],
    ["::ffff:8.8.8.8", false],
    ["::ffff:10.0.0.1", true],
    ["fe80::1%eth0", true],
    ["2001:db8::1", true],
    ["2001:4860:4860::8888", false],
    ["2002:808:808::1", true],
    ["ff02::1", true],
    ["1::2::3", true],
    ["not an address", true],
  ];
  for (const [ip, expected] of rows) assert.equal(isPrivateAddress(ip), expected, ip);
});
