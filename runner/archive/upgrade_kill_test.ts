// kill -9 at each step of an upgrade: the old archive or the new one is served whole, and the next run completes it.
import assert from "node:assert/strict";
import { createStorageFixture, KEY, SIZE } from "../../dev/testing/storage_fixture.ts";
import { assertConsistent, storeRow } from "../../dev/testing/stored_archive.ts";
import type { UpgradeOrder, UpgradeStep } from "../../dev/testing/upgrade_program.ts";
import { removeObsolete } from "./obsolete.ts";
import { upgradeArchives } from "./upgrade.ts";

const PROGRAM = new URL("../../dev/testing/upgrade_program.ts", import.meta.url).pathname;

async function run(order: UpgradeOrder): Promise<Deno.CommandOutput> {
  const args = ["run", "-A", "--no-check", PROGRAM, JSON.stringify(order)];
  return await new Deno.Command(Deno.execPath(), { args, stderr: "inherit" }).output();
}

/** Two Hub accounts: commits 1 and 2 are those of the new copies. */
const POINTS: readonly (readonly [UpgradeStep, "before" | "after", number])[] = [
  ["read", "after", 1],
  ["begin", "after", 1],
  ["part", "after", 2],
  ["commit", "before", 1],
  ["commit", "after", 1],
  ["commit", "after", 2],
  ["finish", "before", 1],
  ["finish", "after", 1],
];

Deno.test("upgrade: kill -9 at each step → served whole, then completed", async (t) => {
  await using fixture = await createStorageFixture();
  const targets = fixture.targets(2).slice(0, 2);
  const workDir = `${fixture.test.dir}/upgrades`;
  await Deno.mkdir(workDir);
  const env = { ...fixture.test.env, HF_STORAGE_ACCOUNT_COUNT: "2" };
  for (const [index, [dieAt, when, nth]] of POINTS.entries()) {
    const episode = index + 1;
    await t.step(`${when} ${dieAt} ${nth}`, async () => {
      await fixture.archive(targets, episode);
      const died = await run({ env, ...fixture.gateway, workDir, dieAt, when, nth });
      assert.equal(died.signal, "SIGKILL");
      await assertConsistent(fixture, targets, episode);
      const { file_key, media } = await storeRow(fixture, episode);
      assert.equal(file_key !== KEY, media?.presentation?.form === "hybrid");

      // The killed process no longer renews its lease.
      await fixture.database.admin`update keepstream.resource_leases set expires_at = now()`;
      const sent = fixture.test.uploadedBytes();
      await upgradeArchives({}, { ...fixture.tools(targets), workDir });
      await assertConsistent(fixture, targets, episode);
      const after = await storeRow(fixture, episode);
      assert.deepEqual([after.media.presentation.form, after.size_bytes], ["hybrid", SIZE + 1]);
      if (dieAt === "finish") assert.equal(fixture.test.uploadedBytes(), sent, "nothing is sent again");
      await fixture.database.admin`update keepstream.obsolete_copies set run_at = now()`;
      await removeObsolete({ store: fixture.store, targets, onError: (error) => assert.fail(String(error)) });
      await assertConsistent(fixture, targets, episode);
      for (const account of ["alice", "bob"]) {
        assert.equal(fixture.test.hub.usedBytes(account), (SIZE + 1) * episode, "nothing else is left");
      }
    });
  }
});
