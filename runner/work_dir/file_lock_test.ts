import assert from "node:assert/strict";
import { releaseLock } from "./file_lock.ts";

Deno.test("file lock: released while children start → free immediately", async () => {
  const path = await Deno.makeTempFile({ prefix: "keepstream-lock-" });
  const options = { create: true, write: true };
  let stop = false;
  const children = Array.from({ length: 4 }, async () => {
    while (!stop) await new Deno.Command("true").output();
  });
  let busy = 0;
  for (let i = 0; i < 150; i++) {
    const file = await Deno.open(path, options);
    if (!await file.tryLock(true)) busy++;
    await new Promise((done) => setTimeout(done, 2));
    releaseLock(file);
  }
  stop = true;
  await Promise.all(children);
  await Deno.remove(path);
  assert.equal(busy, 0);
});
