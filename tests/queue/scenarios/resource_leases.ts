/** Slots of a resource, and the limits of all leases. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";
import type { Row } from "../fixture/rpc.ts";

export const RESOURCE_LEASES: readonly Scenario[] = [
  {
    name: "acquire_resource_lease: per slot → one holder, rising epoch",
    async run(queue) {
      const acquire = async (more: Row = {}) =>
        (await queue.rpc("acquire_resource_lease", {
          resource: "hf:user/repo",
          holder: "a",
          lease_seconds: 60,
          ...more,
        }))[0];
      const first = (await acquire())!;
      assert.equal(first["slot"], 1);
      assert.equal(await acquire({ holder: "b" }), undefined);
      assert.equal(await acquire(), undefined, "not even for the same holder");
      assert.ok(await acquire({ resource: "hf:user/other" }));
      const second = (await acquire({ holder: "b", slots: 2 }))!;
      assert.equal(second["slot"], 2);
      assert.ok(BigInt(second["epoch"] as string) > BigInt(first["epoch"] as string));
      assert.equal(await acquire({ slots: 2 }), undefined);
      const call = async (name: string, lease: Row, more: Row = {}) =>
        (await queue.rpc(name, { resource: "hf:user/repo", slot: lease["slot"], epoch: lease["epoch"], ...more }))[0]![
          name
        ];
      await queue.travel(50);
      const renewed = await call("renew_resource_lease", first, { lease_seconds: 60 });
      assert.ok((renewed as Date).getTime() > Date.now() + 50_000);
      assert.deepEqual(await call("renew_resource_lease", first, { lease_seconds: 1 }), renewed, "never shortened");
      await queue.travel(11);
      assert.equal(await call("renew_resource_lease", second), null, "it expired");
      const third = (await acquire({ holder: "c", slots: 2 }))!;
      assert.equal(third["slot"], 2);
      const holders = await queue.sql`
        select holder from keepstream.resource_leases where resource = 'hf:user/repo' order by slot`;
      assert.deepEqual(holders.map((row) => row["holder"]), ["a", "c"]);
      assert.equal(await call("release_resource_lease", second), false, "the former holder releases nothing");
      assert.equal(await call("renew_resource_lease", { ...third, epoch: first["epoch"] }), null);
      assert.equal(await call("release_resource_lease", first), true);
      assert.equal(await call("release_resource_lease", first), false);
      const fourth = (await acquire({ holder: "d" }))!;
      assert.ok(BigInt(fourth["epoch"] as string) > BigInt(third["epoch"] as string));
      for (
        const bad of [{ resource: "" }, { resource: null }, { holder: "" }, { holder: null }, {
          resource: "x".repeat(301),
        }]
      ) {
        assert.equal(await queue.refusal("acquire_resource_lease", { resource: "r", holder: "h", ...bad }), "PT400");
      }
      const [row] = await queue
        .sql`select holder from keepstream.resource_leases where resource = 'hf:user/repo' and slot = 1`;
      assert.equal(row!["holder"], "d");
    },
  },
  {
    name: "leases: of all kinds → minimum and maximum seconds",
    async run(queue) {
      const lasts = async (query: string) =>
        Math.round(Number((await queue.sql.unsafe(query))[0]!["seconds"]) * 10) / 10;
      const job = await queue.archived().then(() => queue.downloading());
      const video =
        "select extract(epoch from lease_expires_at - updated_at) as seconds from public.video_queue where lease_token is not null";
      const beat = (lease_seconds: number | null) =>
        queue.rpc("extend_video_lease", { ids: [job.id], lease_tokens: [job.lease_token], lease_seconds });
      const shrink = (table: string) =>
        queue.sql.unsafe(
          `update public.${table} set lease_expires_at = now() + interval '5 seconds' where lease_token is not null`,
        );
      for (const [requested, given] of [[null, 120], [1, 10], [60, 60], [1e6, 3600]] as const) {
        await shrink("video_queue");
        await beat(requested);
        assert.equal(await lasts(video), given);
      }
      const copy =
        "select extract(epoch from lease_expires_at - updated_at) as seconds from public.video_replicas where lease_token is not null";
      await queue.rpc("plan_replica_repairs", { targets: ["hf-2"] });
      for (const [requested, given] of [[null, 600], [1, 10], [60, 60], [1e6, 3600]] as const) {
        const [repair] = await queue.rpc("claim_replica_repairs", { limit: 1, worker: " ", lease_seconds: requested });
        assert.equal(await lasts(copy), given);
        await shrink("video_replicas");
        await queue.rpc("extend_replica_lease", {
          ids: [repair!["id"]],
          lease_tokens: [repair!["lease_token"]],
          lease_seconds: requested,
        });
        assert.equal(await lasts(copy), given);
        const [row] = await queue.sql`select lease_owner from public.video_replicas where lease_token is not null`;
        assert.equal(row!["lease_owner"], "runner");
        await queue.rpc("complete_replica", {
          id: repair!["id"],
          lease_token: repair!["lease_token"],
          state: "pending",
        });
      }
      const resource =
        "select extract(epoch from expires_at - clock_timestamp()) as seconds, holder from keepstream.resource_leases where resource = 'r'";
      for (const [requested, given] of [[null, 60], [0, 1], [90, 90], [1e6, 3600]] as const) {
        const [lease] = await queue.rpc("acquire_resource_lease", {
          resource: "r",
          holder: "h".repeat(250),
          lease_seconds: requested,
        });
        const left = Number((await queue.sql.unsafe(resource))[0]!["seconds"]);
        assert.ok(left > given - 1 && left <= given, `${requested} → ${left}`);
        const [renewed] = await queue.rpc("renew_resource_lease", {
          resource: "r",
          slot: lease!["slot"],
          epoch: lease!["epoch"],
          lease_seconds: requested,
        });
        if (given > 1) assert.ok(renewed!["renew_resource_lease"]);
        const after = Number((await queue.sql.unsafe(resource))[0]!["seconds"]);
        assert.ok(after > given - 1 && after <= given, `${requested} renewed → ${after}`);
        assert.equal((await queue.sql.unsafe(resource))[0]!["holder"].length, 200);
        await queue.rpc("release_resource_lease", { resource: "r", slot: lease!["slot"], epoch: lease!["epoch"] });
      }
      assert.equal(
        (await queue.rpc("acquire_resource_lease", {
          resource: "x".repeat(300),
          holder: "h",
          slots: null,
          lease_seconds: 60,
        })).length,
        1,
      );
      assert.equal((await queue.rpc("acquire_resource_lease", { resource: "s", holder: "h", slots: 0 })).length, 1);
      await queue
        .sql`insert into keepstream.resource_leases select 'full', g, 'h', 0, now() + interval '1 hour' from generate_series(1, 1000) g`;
      assert.equal(
        (await queue.rpc("acquire_resource_lease", { resource: "full", holder: "h", slots: 1_000_000 })).length,
        0,
      );
      await queue.sql`delete from keepstream.resource_leases where resource = 'full' and slot = 1000`;
      assert.equal(
        (await queue.rpc("acquire_resource_lease", { resource: "full", holder: "h", slots: 1_000_000 }))[0]!["slot"],
        1000,
      );
    },
  },
];
