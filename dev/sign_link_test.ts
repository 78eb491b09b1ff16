import assert from "node:assert/strict";
import { parseSigningKeys, verifyLink } from "../core/link.ts";
import { unwrap } from "../core/result.ts";
import { sign } from "./sign_link.ts";

const KEYS = `k1:${"A".repeat(43)}`;
const tools = { env: (name: string) => name === "STREAM_SIGNING_KEYS" ? KEYS : undefined, now: 1_800_000_000 };

Deno.test("deno task sign: prints a link that the Worker accepts", async () => {
  const { ok, text } = await sign([
    "https://cdn.test/a/m.m3u8",
    "--proxy",
    "https://w.test/",
    "--scope",
    "1",
    "--referer",
    "https://p.test/",
  ], tools);
  assert.ok(ok, text);
  assert.match(text, /^https:\/\/w\.test\/proxy\?url=https%3A%2F%2Fcdn\.test%2Fa%2Fm\.m3u8&exp=/);
  const link = unwrap(await verifyLink(new URL(text), unwrap(parseSigningKeys(KEYS)), tools.now));
  assert.equal(link.scope, "https://cdn.test/a/");
  assert.equal(link.context.headers?.referer, "https://p.test/");
  assert.ok(link.expiresAt >= tools.now + 21_600);
});

Deno.test("deno task sign: says what is wrong instead of printing a link that does not work", async () => {
  for (
    const args of [[], ["a", "b"], ["cdn.test/a"], ["http://10.0.0.1/a"], ["https://cdn.test/a", "--scope", "3"], [
      "https://cdn.test/a",
      "--ttl",
      "x",
    ], ["https://cdn.test/a", "--nope"]]
  ) {
    assert.equal((await sign(args, tools)).ok, false, args.join(" "));
  }
  const { ok, text } = await sign(["https://cdn.test/a"], { ...tools, env: () => undefined });
  assert.deepEqual([ok, text], [false, "STREAM_SIGNING_KEYS: there is no signing key"]);
});
