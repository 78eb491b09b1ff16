// The OpenAPI document of both functions, generated from their routes. Example: (await openApiDocument()).paths["/archive/counts"].
import { Hono } from "hono";
import { generateSpecs } from "hono-openapi";
import { createArchiveApp } from "../functions/archive/routes.ts";
import type { OperatorStore } from "../functions/archive/operator_store.ts";
import { createStreamingApp } from "../functions/streaming/routes.ts";

const unused = () => Promise.reject(new Error("only the routes are used"));

/** Both apps with tools that reject every call. */
export function documentedApps(): { readonly streaming: Hono; readonly archive: Hono } {
  const store = new Proxy({}, { get: () => unused }) as OperatorStore;
  const onError = () => {};
  return {
    streaming: createStreamingApp({
      episodes: { find: unused },
      clientOf: unused,
      health: unused,
      deepHealth: unused,
      takedowns: unused,
      onError,
    }),
    archive: createArchiveApp({ store, operatorKeys: ["key"], health: unused, onError }),
  };
}

export async function openApiDocument() {
  const { streaming, archive } = documentedApps();
  return await generateSpecs(new Hono().route("/", streaming).route("/", archive), {
    exclude: [/^\/api\/v1\//],
    documentation: {
      openapi: "3.1.0",
      info: {
        title: "keepstream",
        version: "1",
        description: "Supabase: prefix /functions/v1. Deno Deploy: prefix /api/v1.",
        license: { name: "MIT", identifier: "MIT" },
      },
      components: {
        securitySchemes: {
          secretKey: {
            type: "apiKey",
            in: "header",
            name: "apikey",
            description: "A secret key of the project, sb_secret_…",
          },
          bearer: { type: "http", scheme: "bearer" },
        },
      },
    },
  });
}
