import assert from "node:assert/strict";
import { parseSigningKeys, verifyLink } from "../core/link.ts";
import { unwrap } from "../core/result.ts";
import { CommandError } from "./command_line.ts";
import { sign } from "./sign_link.ts";

const KEYS = `k1:${"A".repeat(43)}`;
const tools = { env: { STREAM_SIGNING_KEYS: KEYS, CLOUDFLARE_WORKERS_URL: "https://w.test/" }, now: 1_800_000_000 };

Deno.test("ks sign: a URL → a link that the Worker accepts", async () => {
  const { link: text, expiresAt } = await sign([
    "https://cdn.test/a/m.m3u8",
    "--scope",
    "1",
    "--referer",
    "https://p.test/",
  ], tools);
  assert.match(text, /^https:\/\/w\.test\/proxy\?url=https%3A%2F%2Fcdn\.test%2Fa%2Fm\.m3u8&exp=/);
  const link = unwrap(await verifyLink(new URL(text), unwrap(parseSigningKeys(KEYS)), tools.now));
  assert.equal(link.scope, "https://cdn.test/a/");
  assert.equal(link.context.headers?.referer, "https://p.test/");
  assert.ok(link.expiresAt >= tools.now + 21_600);
  assert.equal(link.expiresAt, expiresAt);
});

Deno.test("ks sign: a link that would not work or not expire → the reason", async () => {
  for (
    const [args, reason] of [
      [[], /^usage:/],
      [["https://a.test/", "b"], /unexpected argument b/],
      [["cdn.test/a"], /not an absolute URL/],
      [["http://10.0.0.1/a"], /not a public host/],
      [["http://127.0.0.1/a"], /not a public host/],
      [["https://cdn.test/a", "--scope", "3"], /--scope must be a whole number from 0 to 0/],
      [["https://cdn.test/a", "--ttl", "x"], /--ttl must be a whole number from 1 to 604800, not x/],
      [["https://cdn.test/a", "--ttl", "0"], /--ttl/],
      [["https://cdn.test/a", "--ttl", "99999999"], /--ttl/],
      [["https://cdn.test/a", "--ttl", "1e3"], /--ttl/],
      [["https://cdn.test/a", "--nope"], /Unknown option/],
    ] as const
  ) {
    await assert.rejects(
      sign(args, tools),
      (error) => error instanceof CommandError && reason.test(error.message),
      `${args}`,
    );
  }
});

Deno.test("ks sign: an incomplete environment → an error, not the local keys", async () => {
  for (
    const [env, missing] of [
      [{ STREAM_SIGNING_KEYS: KEYS }, "CLOUDFLARE_WORKERS_URL"],
      [{ CLOUDFLARE_WORKERS_URL: "https://w.test" }, "STREAM_SIGNING_KEYS"],
      [{ SUPABASE_URL: "https://project.test" }, "STREAM_SIGNING_KEYS and CLOUDFLARE_WORKERS_URL"],
    ] as const
  ) {
    await assert.rejects(sign(["https://cdn.test/a"], { env, now: tools.now }), {
      name: "CommandError",
      message: new RegExp(`^incomplete environment: .* but not ${missing}: `),
    });
  }
  const env = { STREAM_SIGNING_KEYS: KEYS };
  assert.match(
    (await sign(["https://cdn.test/a", "--proxy", "https://p.test"], { env, now: 1 })).link,
    /^https:\/\/p\.test\//,
  );
});
