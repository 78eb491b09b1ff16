// The OpenAPI document against the apps: every route documented, every documented route there, the copy in docs current.
import assert from "node:assert/strict";
import { openApiDocument } from "./_shared/openapi.ts";
import { createArchiveApp } from "./archive/routes.ts";
import type { ArchiveStore } from "./archive/archive_store.ts";
import { createStreamingApp } from "./streaming/routes.ts";

const unused = () => Promise.reject(new Error("not called here"));
const store = new Proxy({}, { get: () => unused }) as ArchiveStore;
const streaming = createStreamingApp({
  episodes: { answer: unused },
  clientOf: unused,
  health: unused,
  deepHealth: unused,
  takedowns: unused,
  onError: () => {},
});
const archive = createArchiveApp({ store, operatorKeys: ["k"], health: unused, onError: () => {} });

const documented = Object.entries(openApiDocument.paths).flatMap(([path, operations]) =>
  Object.keys(operations).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ":$1")}`)
);

const routes = [...streaming.routes, ...archive.routes]
  .filter(({ method, path }) => method !== "ALL" && !path.startsWith("/api/v1/") && !path.endsWith("/openapi.json"))
  .map(({ method, path }) => `${method} ${path}`);

Deno.test("every route of both functions is documented, and every documented route exists", () => {
  assert.deepEqual([...new Set(routes)].sort(), [...documented].sort());
});

Deno.test("every route exists below /api/v1, too", () => {
  const below = [...streaming.routes, ...archive.routes].map(({ method, path }) => `${method} ${path}`);
  for (const route of routes) assert.ok(below.includes(route.replace(" /", " /api/v1/")), route);
});

Deno.test("both functions serve the document, and docs/reference/openapi.json is its copy (deno task openapi writes it)", async () => {
  const text = await Deno.readTextFile(new URL("../docs/reference/openapi.json", import.meta.url));
  assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(openApiDocument)));
  for (
    const response of [
      await streaming.request("/streaming/openapi.json"),
      await archive.request("/archive/openapi.json"),
    ]
  ) {
    assert.equal(response.status, 200);
    assert.equal((await response.json()).openapi, "3.1.0");
  }
});
