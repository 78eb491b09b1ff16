import assert from "node:assert/strict";
import { parseSigningKeys } from "./link.ts";
import { refreshQuery, verifyRefresh } from "./refresh_request.ts";
import { unwrap } from "./result.ts";

const OLD = `old:${"B".repeat(43)}`;
const keys = unwrap(parseSigningKeys(`k1:${"A".repeat(43)},${OLD}`));
const episode = { malId: 55825, episode: 1, provider: "animasu", server: "https://embed.test/e?a=1&b=ü" };
const NOW = 1_800_000_000;

async function verify(change: Record<string, string> = {}, at = { malId: 55825, episode: 1 }, now = NOW, own = keys) {
  const query = new URLSearchParams(await refreshQuery(episode, { keys, now: NOW }));
  for (const [name, value] of Object.entries(change)) query.set(name, value);
  return await verifyRefresh(query, at, { keys: own, now });
}

Deno.test("verifyRefresh: signed, within two minutes → true for its episode", async () => {
  assert.equal(await verify(), true);
  for (const [seconds, expected] of [[119, true], [-119, true], [121, false], [-121, false]] as const) {
    assert.equal(await verify({}, { malId: 55825, episode: 1 }, NOW + seconds), expected);
  }
});

Deno.test("verifyRefresh: another episode, time, key or signature → false", async () => {
  assert.equal(await verify({}, { malId: 55825, episode: 2 }), false);
  assert.equal(await verify({}, { malId: 1, episode: 1 }), false);
  const sig = new URLSearchParams(await refreshQuery(episode, { keys, now: NOW })).get("sig")!;
  const changes: Record<string, string>[] = [
    { at: String(NOW - 1) },
    { at: "" },
    { at: `${NOW} ` },
    { sig: "" },
    { sig: sig.replace("k1.", "old.") },
    { sig: sig.replace("k1.", "k2.") },
    { sig: sig.slice(0, 25) },
  ];
  for (const change of changes) assert.equal(await verify(change), false, JSON.stringify(change));
  assert.equal(await verifyRefresh(new URLSearchParams("refresh=1"), episode, { keys, now: NOW }), false);
});

Deno.test("verifyRefresh: rotated key → true, removed key → false", async () => {
  const query = new URLSearchParams(
    await refreshQuery(episode, { keys: unwrap(parseSigningKeys(OLD)), now: NOW }),
  );
  assert.equal(await verifyRefresh(query, episode, { keys, now: NOW }), true);
  assert.equal(
    await verifyRefresh(query, episode, { keys: unwrap(parseSigningKeys(`k1:${"A".repeat(43)}`)), now: NOW }),
    false,
  );
});

Deno.test("refreshQuery: server URL, which may contain a key → not in the query", async () => {
  const query = new URLSearchParams(await refreshQuery(episode, { keys, now: NOW }));
  assert.deepEqual([...query.keys()], ["refresh", "at", "sig"]);
});
