import assert from "node:assert/strict";
import { RpcError } from "../../core/rpc_error.ts";
import { createCircuitBreaker } from "../archive/circuit_breaker.ts";
import { StorageError } from "../transfer/storage_error.ts";
import { createHealthCheck, type HealthOptions } from "./health.ts";
import { shareFor } from "./share.ts";

const refused = () => Promise.reject(new Error("connection refused"));
const good = {
  name: "hub:alice",
  identify: () => Promise.resolve("known" as const),
  probe: () => Promise.resolve({ usedBytes: 5 }),
};
const away = { name: "hub:bob", identify: refused, probe: refused };

const check = async (options: Partial<HealthOptions>): Promise<readonly string[]> =>
  await createHealthCheck({
    queue: () => Promise.resolve({}),
    targets: [good],
    breaker: createCircuitBreaker({ now: Date.now }),
    disk: () => Promise.resolve(null),
    ...options,
  })();

Deno.test("health: queue, storage and disk are healthy → no reason", async () => {
  assert.deepEqual(await check({}), []);
});

Deno.test("health: queue unreachable, key refused, no functions → the reason", async () => {
  const reasons = async (status: number, message: string) =>
    await check({ queue: () => Promise.reject(new RpcError("queue_counts", { status, message })) });
  assert.match((await reasons(0, "connection refused at 10.0.0.1"))[0]!, /^queue: it cannot be reached$/);
  assert.match((await reasons(401, "Invalid API key"))[0]!, /SUPABASE_SECRET_KEYS/);
  assert.match((await reasons(403, "permission denied"))[0]!, /SUPABASE_SECRET_KEYS/);
  assert.match((await reasons(404, "no such function"))[0]!, /migrations/);
});

Deno.test("health: no target accepts writes → a reason; one of two → none", async () => {
  assert.match((await check({ targets: [] }))[0]!, /^storage: no target is configured$/);
  assert.match((await check({ targets: [away] }))[0]!, /^storage: no target can be written to$/);
  assert.deepEqual(await check({ targets: [away, good] }), []);
});

Deno.test("health: a refused token, circuit closed again → a reason", async () => {
  const breaker = createCircuitBreaker({ now: Date.now });
  breaker.failed("hub:bob", "auth", new StorageError("auth", "401", { code: "storage_5xx", retryAfterSeconds: 0.001 }));
  assert.equal((await check({ targets: [away], breaker })).length, 1);
  assert.deepEqual(await check({ targets: [{ ...away, probe: good.probe }], breaker }), []);
  assert.equal(breaker.all()[0]!.state, "ok");
});

Deno.test("health: healthy at its last use → identity only; gone since → a reason", async () => {
  const breaker = createCircuitBreaker({ now: Date.now });
  breaker.succeeded("hub:bob");
  assert.deepEqual(await check({ targets: [{ ...away, identify: good.identify }], breaker }), []);
  assert.match((await check({ targets: [away], breaker }))[0]!, /^storage: no target can be written to$/);
});

Deno.test("health: the disk is full → its reason, next to the others", async () => {
  const reasons = await check({ targets: [], disk: () => Promise.resolve("the work directory is full or read-only") });
  assert.deepEqual(reasons, ["storage: no target is configured", "disk: the work directory is full or read-only"]);
});

Deno.test("shareFor: concurrent and later callers → one call, one failure", async () => {
  let asked = 0;
  const { promise, reject } = Promise.withResolvers<void>();
  const ask = shareFor(60_000, () => (asked++, promise));
  const answers = Array.from({ length: 100 }, ask);
  reject(new Error("away"));
  assert.deepEqual(new Set((await Promise.allSettled(answers)).map(({ status }) => status)), new Set(["rejected"]));
  await assert.rejects(ask(), /away/);
  assert.equal(asked, 1);
});

Deno.test("shareFor: expired → called again", async () => {
  let asked = 0;
  const ask = shareFor(0, () => Promise.resolve(++asked));
  await ask();
  while (await ask() === 1) await new Promise((next) => setTimeout(next));
  assert.ok(asked > 1);
});
