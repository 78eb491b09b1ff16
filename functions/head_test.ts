// HEAD against GET over a real connection: same status and headers; the length equals GET's or is absent.
import assert from "node:assert/strict";
import { startFunction } from "../dev/testing/function_process.ts";
import { createFunctionFixture } from "../dev/testing/function_fixture.ts";

/** Differ between any two requests. */
const OWN = ["date", "x-request-id", "server-timing", "ratelimit", "content-length"];

Deno.test("HEAD → same response as GET: success, 304, errors, documents", async () => {
  await using fixture = await createFunctionFixture();
  await fixture.database.serviceRole`select public.takedown(9)`;
  await using program = await startFunction({ entry: "functions/main.ts", config: "deno.json", env: fixture.env });
  const etag = (await fetch(`${program.url}/api/v1/streaming/1/1`).then(async (response) => {
    await response.body?.cancel();
    return response.headers.get("etag");
  }))!;
  const cases: readonly (readonly [string, Record<string, string>, number])[] = [
    ["streaming/1/1", {}, 200],
    ["streaming/1/1", { "if-none-match": etag }, 304],
    ["streaming/0/1", {}, 400],
    ["streaming/9/1", {}, 451],
    ["streaming/nowhere", {}, 404],
    ["streaming/1/1", { accept: "text/html" }, 406],
    ["streaming/health", {}, 200],
    ["streaming/openapi.json", {}, 200],
    ["streaming/takedowns", {}, 200],
    ["archive/health", {}, 200],
    ["archive/openapi.json", {}, 200],
    ["archive/counts", {}, 401],
    ["archive/counts", { apikey: fixture.secretKey }, 200],
    ["archive/videos/retry", { apikey: fixture.secretKey }, 405],
  ];
  for (const [path, headers, status] of cases) {
    const url = `${program.url}/api/v1/${path}`;
    const get = await fetch(url, { headers });
    const head = await fetch(url, { headers, method: "HEAD" });
    const length = String((await get.bytes()).length);
    assert.deepEqual([get.status, head.status, (await head.bytes()).length], [status, status, 0], path);
    assert.ok(
      [null, length].includes(head.headers.get("content-length")),
      `${path}: ${head.headers.get("content-length")}`,
    );
    const shown = (response: Response) => [...response.headers].filter(([name]) => !OWN.includes(name));
    assert.deepEqual(shown(head), shown(get), path);
  }
  fixture.setDatabaseUp(false);
  for (const path of ["streaming/5/5", "archive/videos"]) {
    const ask = (method: string) =>
      fetch(`${program.url}/api/v1/${path}`, { method, headers: { apikey: fixture.secretKey } });
    for (const response of [await ask("GET"), await ask("HEAD")]) {
      await response.body?.cancel();
      assert.deepEqual([response.status, response.headers.get("retry-after")], [503, "5"], path);
    }
  }
});
