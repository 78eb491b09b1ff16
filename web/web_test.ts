import assert from "node:assert/strict";
import { startWorker } from "../dev/emulators/workerd/workerd.ts";

Deno.test("watch page: its files → with a policy for own scripts only", async () => {
  await using web = await startWorker({ worker: "web" });
  const page = await fetch(`${web.url}/`);
  assert.equal(page.status, 200);
  assert.match(page.headers.get("content-type")!, /text\/html/);
  assert.match(page.headers.get("content-security-policy")!, /default-src 'none'; script-src 'self'/);
  assert.equal(page.headers.get("x-content-type-options"), "nosniff");
  assert.match(await page.text(), /watch\.js/);
  const script = await fetch(`${web.url}/watch.js`);
  assert.match(script.headers.get("content-type")!, /javascript/);
  assert.ok((await script.text()).length > 100_000);
});

Deno.test("watch page: config.json → the API's URL, or null", async () => {
  await using web = await startWorker({ worker: "web", vars: { PUBLIC_API_URL: "https://api.test/functions/v1/" } });
  assert.deepEqual(await (await fetch(`${web.url}/config.json`)).json(), { api_url: "https://api.test/functions/v1" });
  await using bare = await startWorker({ worker: "web", vars: { PUBLIC_API_URL: "" } });
  assert.deepEqual(await (await fetch(`${bare.url}/config.json`)).json(), { api_url: null });
});

Deno.test("watch page: unknown path, /proxy → 404, POST → 405", async () => {
  await using web = await startWorker({ worker: "web" });
  for (
    const [path, method, status] of [["/x", "GET", 404], ["/", "POST", 405], ["/proxy?url=x", "GET", 404]] as const
  ) {
    const response = await fetch(`${web.url}${path}`, { method });
    await response.body?.cancel();
    assert.equal(response.status, status, path);
    assert.match(response.headers.get("content-security-policy")!, /default-src 'none'/);
  }
});
