// The OpenAPI document against the apps: every route documented, every documented route implemented, the written copies current.
import assert from "node:assert/strict";
import { documentedApps, openApiDocument } from "../dev/openapi_document.ts";

const { streaming, archive } = documentedApps();
const openapi = await openApiDocument();

const documented = Object.entries(openapi.paths).flatMap(([path, operations]) =>
  Object.keys(operations ?? {}).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`)
);

const routes = [...streaming.routes, ...archive.routes]
  .filter(({ method, path }) => method !== "ALL" && !path.startsWith("/api/v1/") && !path.endsWith("/openapi.json"))
  .map(({ method, path }) => `${method} ${path}`);

Deno.test("openapi: the routes of both functions → exactly the documented ones", () => {
  assert.deepEqual([...new Set(routes)].sort(), [...documented].sort());
});

Deno.test("routes: every path → also below /api/v1", () => {
  const below = [...streaming.routes, ...archive.routes].map(({ method, path }) => `${method} ${path}`);
  for (const route of routes) assert.ok(below.includes(route.replace(" /", " /api/v1/")), route);
});

Deno.test("openapi: committed and served documents → equal the generated one", async () => {
  const generated = JSON.parse(JSON.stringify(openapi));
  const hint = "run `deno task openapi`";
  const text = await Deno.readTextFile(new URL("../docs/reference/openapi.json", import.meta.url));
  assert.deepEqual(JSON.parse(text), generated, hint);
  for (
    const response of [
      await streaming.request("/streaming/openapi.json"),
      await archive.request("/archive/openapi.json"),
    ]
  ) {
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), generated, hint);
  }
});
