// kill -9 at each step of an upload: the next run completes it, resends only the parts in flight, and commits once.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { ReplicateOrder, Step } from "../../dev/testing/replicate_program.ts";
import { createTestHub } from "../../dev/emulators/hub/test_hub.ts";

const ARCHIVE = { malId: 55825, episode: 1, fileKey: "0123456789abcdef0123456789abcdef" };
const PART = 1 << 18;
const SIZE = 10 * PART + 5;
/** Parallel parts of one target. */
const IN_FLIGHT = 3;
const PROGRAM = new URL("../../dev/testing/replicate_program.ts", import.meta.url).pathname;

async function run(order: ReplicateOrder): Promise<Deno.CommandOutput> {
  const args = ["run", "-A", "--no-check", PROGRAM, JSON.stringify(order)];
  return await new Deno.Command(Deno.execPath(), { args, stderr: "inherit" }).output();
}

const POINTS: readonly (readonly [Step, "before" | "after", number])[] = [
  ["probe", "before", 1],
  ["probe", "after", 1],
  ["create_repo", "after", 1],
  ["batch", "before", 1],
  ["batch", "after", 1],
  ["part", "before", 1],
  ["part", "after", 2],
  ["part", "before", 6],
  ["part", "after", 11],
  ["complete", "before", 1],
  ["complete", "after", 1],
  ["verify", "after", 1],
  ["commit", "before", 1],
  ["commit", "after", 1],
  ["probe", "after", 2],
];

for (const [step, when, nth] of POINTS) {
  Deno.test(`kill -9 ${when} ${step} ${nth} → completed, one commit, little resent`, async () => {
    await using test = await createTestHub({ accounts: ["alice"] });
    const { path, sha256 } = await test.file("a.mp4", SIZE);
    const order = { path, archive: ARCHIVE, env: test.env };
    const killed = await run({ ...order, dieAt: step, when, nth });
    assert.equal(killed.signal, "SIGKILL");
    const ended = await run(order);
    assert.equal(ended.code, 0);
    const { copies } = JSON.parse(new TextDecoder().decode(ended.stdout));
    assert.equal(copies[0].sha256, sha256);
    const commits = test.hub.calls.filter((call) => call.at === "commit" && call.status === 200);
    assert.equal(commits.length, 1);
    const resent = test.uploadedBytes() - SIZE;
    assert.ok(resent <= IN_FLIGHT * PART, `${resent} bytes sent again`);
    const stored = await fetch(copies[0].directUrl, { headers: { authorization: "Bearer hf_aliceToken" } });
    assert.deepEqual(new Uint8Array(await stored.arrayBuffer()), await Deno.readFile(path));
  });
}

Deno.test("kill -9 while a folder target copies → invisible, then resumed", async () => {
  await using test = await createTestHub({ accounts: [] });
  const root = `${test.dir}/folder`;
  await Deno.mkdir(root);
  const size = 256 * 1024 * 1024;
  const { path, sha256 } = await test.file("a.mp4", size);
  const order = {
    path,
    archive: ARCHIVE,
    env: { STORAGE_FOLDER: root, STORAGE_FOLDER_URL: "http://x/archive", STORAGE_FOLDER_TOKEN: "t" },
  };
  const args = ["run", "-A", "--no-check", PROGRAM, JSON.stringify(order)];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "null" }).spawn();
  const copy = `${root}/keepstream-55825/55825/ep1/${ARCHIVE.fileKey}.mp4`;
  const draft = `${copy}.${sha256.slice(0, 16)}.part`;
  let copied = 0;
  while (copied < 1 << 20) {
    copied = (await Deno.stat(draft).catch(() => ({ size: 0 }))).size;
    assert.equal(await Deno.stat(copy).catch(() => null), null, "not to see before it is whole");
  }
  child.kill("SIGKILL");
  assert.equal((await child.status).signal, "SIGKILL");
  const left = (await Deno.stat(draft)).size;
  assert.ok(left < size, "killed in the middle");
  const ended = await run(order);
  assert.equal(ended.code, 0);
  assert.equal(createHash("sha256").update(await Deno.readFile(copy)).digest("hex"), sha256);
  assert.equal((await Deno.readTextFile(`${copy}.sha256`)).trim(), sha256);
  await assert.rejects(Deno.stat(draft), Deno.errors.NotFound);
});
