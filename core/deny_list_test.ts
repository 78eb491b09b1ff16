import assert from "node:assert/strict";
import { type DenyList, isDenied, signDenyList, verifyDenyList } from "./deny_list.ts";
import { deriveMacKey, parseSigningKeys, utf8 } from "./signing_keys.ts";
import { encodeBase64Url } from "./base64url.ts";
import { err, ok, unwrap } from "./result.ts";

const KEY = `k1:${"A".repeat(43)}`;
const keys = unwrap(parseSigningKeys(KEY));
const list: DenyList = { issuedAt: 1_767_225_600, titles: [55825], episodes: [[5114, 12], [1, 1]] };

Deno.test("deny list: signed → verifies with the same keys", async () => {
  assert.deepEqual(await verifyDenyList(await signDenyList(list, keys), keys), ok(list));
  const empty = { issuedAt: 1, titles: [], episodes: [] };
  assert.deepEqual(await verifyDenyList(await signDenyList(empty, keys), keys), ok(empty));
});

Deno.test("deny list: rotated key → verifies while one side has the old one", async () => {
  const both = unwrap(parseSigningKeys(`k2:${"B".repeat(43)},${KEY}`));
  assert.deepEqual(await verifyDenyList(await signDenyList(list, keys), both), ok(list));
  assert.deepEqual(await verifyDenyList(await signDenyList(list, both), keys), err("unknown_key"));
});

Deno.test("deny list: changed, forged or signed for another purpose → refused", async () => {
  const text = await signDenyList(list, keys);
  assert.deepEqual(await verifyDenyList(text.replace("55825", "55826"), keys), err("bad_signature"));
  const other = unwrap(parseSigningKeys(`k1:${"B".repeat(43)}`));
  assert.deepEqual(await verifyDenyList(await signDenyList(list, other), keys), err("bad_signature"));
  const { payload } = JSON.parse(text);
  for (const purpose of ["mac", "refresh"] as const) {
    const mac = await crypto.subtle.sign("HMAC", await deriveMacKey(keys.list[0]!, purpose), utf8(payload));
    const forged = JSON.stringify({ payload, sig: `k1.${encodeBase64Url(new Uint8Array(mac))}` });
    assert.deepEqual(await verifyDenyList(forged, keys), err("bad_signature"), purpose);
  }
});

Deno.test("deny list: another document → malformed", async () => {
  for (const text of ["", "null", "[]", "{}", "<html>", '{"payload":1,"sig":"k1.x"}', '{"payload":"{}","sig":"x"}']) {
    assert.deepEqual(await verifyDenyList(text, keys), err("malformed"), text);
  }
  const bad = [{ ...list, titles: ["55825"] }, { ...list, episodes: [[1]] }, { ...list, issuedAt: 1.5 }];
  for (const value of bad) {
    assert.deepEqual(
      await verifyDenyList(await signDenyList(value as unknown as DenyList, keys), keys),
      err("malformed"),
    );
  }
});

Deno.test("deny list: title → all its episodes; episode → only itself", () => {
  assert.equal(isDenied(list, { malId: 55825, episode: 7 }), true);
  assert.equal(isDenied(list, { malId: 5114, episode: 12 }), true);
  assert.equal(isDenied(list, { malId: 5114, episode: 1 }), false);
  assert.equal(isDenied(list, { malId: 12, episode: 5114 }), false);
});
