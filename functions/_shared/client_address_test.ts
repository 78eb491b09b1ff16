import assert from "node:assert/strict";
import { addressSource, createClientAddress, createClientId } from "./client_address.ts";

const CONNECTION = "203.0.113.7";

interface Case {
  readonly env?: Readonly<Record<string, string>>;
  /** functions/main.ts: nothing appends to x-forwarded-for. */
  readonly direct?: true;
}

function fixture({ env = {}, direct }: Case) {
  const warnings: string[] = [];
  const address = createClientAddress(addressSource(env, !direct), (...warning) => warnings.push(warning.join(" ")));
  return { warnings, of: (headers: Record<string, string>) => address(new Headers(headers), CONNECTION) };
}

const SPOOFED = { "x-forwarded-for": "198.51.100.9", "cf-connecting-ip": "198.51.100.9", "x-real-ip": "198.51.100.9" };

Deno.test("client address: hosted Supabase → Cloudflare's header", () => {
  const { of, warnings } = fixture({ env: { SB_REGION: "eu-central-1", CLIENT_ADDRESS_HEADER: "cf-connecting-ip" } });
  assert.equal(of({ "cf-connecting-ip": "198.51.100.1", "x-forwarded-for": "192.0.2.1, 192.0.2.2" }), "198.51.100.1");
  assert.deepEqual(warnings, []);
  assert.equal(of({ "x-forwarded-for": "192.0.2.1, 192.0.2.2" }), "192.0.2.2");
  assert.equal(of({}), CONNECTION);
  assert.deepEqual(warnings, ["client_address:header:missing cf-connecting-ip"]);
  const wrong = fixture({ env: { SB_REGION: "x", CLIENT_ADDRESS_HEADER: "X-Real-IP" } });
  assert.equal(wrong.of({ ...SPOOFED, "cf-connecting-ip": "198.51.100.1" }), "198.51.100.1");
  assert.deepEqual(wrong.warnings, ["client_address:header:ignored x-real-ip"]);
});

Deno.test("client address: Deno Deploy → the connection's own, whatever is sent", () => {
  for (const name of ["DENO_DEPLOYMENT_ID", "DENO_DEPLOY"]) {
    const { of, warnings } = fixture({ env: { [name]: "1", CLIENT_ADDRESS_HEADER: "cf-connecting-ip" }, direct: true });
    assert.equal(of(SPOOFED), CONNECTION);
    assert.equal(of({}), CONNECTION);
    assert.deepEqual(warnings, ["client_address:header:ignored cf-connecting-ip"]);
  }
});

Deno.test("client address: self-hosted → the configured header, else its own", () => {
  assert.equal(fixture({ direct: true }).of(SPOOFED), CONNECTION);
  const { of, warnings } = fixture({ env: { CLIENT_ADDRESS_HEADER: "X-Real-IP" }, direct: true });
  assert.equal(of({ "x-real-ip": "192.0.2.1" }), "192.0.2.1");
  assert.deepEqual(warnings, []);
  const missing: readonly Record<string, string>[] = [{}, { "x-real-ip": "unknown" }, {
    "x-forwarded-for": "198.51.100.9",
  }];
  for (const headers of missing) assert.equal(of(headers), CONNECTION);
  assert.deepEqual(warnings, ["client_address:header:missing x-real-ip"], "once");
});

Deno.test("client address: self-hosted edge runtime → not Cloudflare's header", () => {
  const { of, warnings } = fixture({ env: { SB_EXECUTION_ID: "x" } });
  assert.equal(of({ ...SPOOFED, "x-forwarded-for": "198.51.100.9, 192.0.2.1" }), "192.0.2.1");
  assert.deepEqual(warnings, []);
});

Deno.test("client address: behind a gateway → the last entry, the gateway's", () => {
  assert.equal(fixture({}).of({ ...SPOOFED, "x-forwarded-for": "198.51.100.9, 192.0.2.1" }), "192.0.2.1");
  const { of, warnings } = fixture({ env: { CLIENT_ADDRESS_HEADER: "x-real-ip" } });
  assert.equal(of({ "x-forwarded-for": "198.51.100.9, 192.0.2.1" }), "192.0.2.1");
  assert.equal(warnings.length, 1);
});

Deno.test("client address: ports, brackets, zones, Forwarded → the address", () => {
  const { of } = fixture({ env: { CLIENT_ADDRESS_HEADER: "forwarded" }, direct: true });
  const cases: Readonly<Record<string, string>> = {
    "192.0.2.1:4711": "192.0.2.1",
    "[2001:db8::1]:443": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "2001:DB8::1": "2001:DB8::1",
    "fe80::1%eth0": "fe80::1",
    "::ffff:192.0.2.1": "::ffff:192.0.2.1",
    'for="[2001:db8::1]:4711";proto=https': "2001:db8::1",
    "for=198.51.100.9, by=10.0.0.1;For=192.0.2.1;proto=https": "192.0.2.1",
    'for="192.0.2.1:80"': "192.0.2.1",
    "for=_hidden": CONNECTION,
    "for=unknown": CONNECTION,
    unknown: CONNECTION,
    "192.0.2.256": CONNECTION,
    "192.0.2.1,": CONNECTION,
    "::1::": CONNECTION,
    "example.test:80": CONNECTION,
  };
  for (const [sent, address] of Object.entries(cases)) assert.equal(of({ forwarded: sent }), address, sent);
});

Deno.test("client id: addresses of one /64, IPv4 and mapped IPv4 → one client", async () => {
  const id = createClientId("secret");
  assert.equal(await id("2001:db8:0:1::9"), await id("2001:DB8:0:1:ffff::1"));
  assert.notEqual(await id("2001:db8:0:1::9"), await id("2001:db8:0:2::9"));
  assert.equal(await id("::ffff:192.0.2.1"), await id("192.0.2.1"));
  assert.equal(await id(null), null);
});
