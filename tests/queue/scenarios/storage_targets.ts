/** Storage targets are recognized by their id. */
import assert from "node:assert/strict";
import type { Scenario } from "../fixture/queue_fixture.ts";
import { archivedWith, replicaOn } from "../fixture/replicas.ts";

export const STORAGE_TARGETS: readonly Scenario[] = [
  {
    name: "check_storage_target: by what is recorded → its verdict",
    async run(queue) {
      const [a, b] = [crypto.randomUUID(), crypto.randomUUID()];
      const check = async (id: string | null) =>
        (await queue.rpc("check_storage_target", { target: "hf-1", id }))[0]!["check_storage_target"];
      const register = async (id: string, replace = false) =>
        (await queue.rpc("register_storage_target", { target: "hf-1", id, replace }))[0]!["register_storage_target"];
      assert.deepEqual([await check(null), await check(a)], ["new", "new"]);
      assert.equal(await register(a), a);
      assert.equal(await register(b), a, "the first id is kept");
      assert.deepEqual([await check(a), await check(b), await check(null)], ["known", "new", "new"]);
      await archivedWith(queue, []);
      assert.deepEqual([await check(a), await check(b), await check(null)], ["known", "other", "gone"]);
      await queue.rpc("report_replica_missing", { replica_id: (await replicaOn(queue, "hf-1"))["id"] });
      assert.equal(await check(null), "gone", "missing copies are recorded copies");
      assert.equal(await register(b, true), b);
      assert.equal(await check(b), "known");
      await queue.sql`delete from keepstream.storage_targets where true`;
      assert.deepEqual([await check(a), await check(null)], ["unregistered", "gone"]);
      await queue.rpc("takedown", { mal_id: 55825 });
      assert.equal(await check(null), "gone", "copies of the takedown are still to be deleted there");
      await queue.rpc("finish_takedown", { mal_id: 55825, episode: null, target: "hf-1" });
      assert.equal(await check(null), "new");
    },
  },
];
