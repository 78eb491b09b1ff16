// Both functions in one program, for `deno run` and `deno serve`: /api/v1/streaming/… and /api/v1/archive/….
// Runs on: Deno Deploy, Deno.
import { Hono } from "hono";
import { handlerOf } from "./_shared/serve.ts";
import { buildArchiveApp } from "./archive/build.ts";
import { buildStreamingApp } from "./streaming/build.ts";

const env = Deno.env.toObject();
const streaming = buildStreamingApp(env, { behindGateway: false });
const archive = buildArchiveApp(env);
const isArchive = (path: string) => /^\/(api\/v1\/)?archive(\/|$)/.test(path);

const app = new Hono().all("*", (c) => (isArchive(c.req.path) ? archive : streaming).fetch(c.req.raw, c.env));
const fetch = handlerOf(app);

let isServed = false;
const onListen = (listening: Deno.Addr) => {
  isServed = true;
  if ("hostname" in listening) console.log(`Listening on http://${listening.hostname}:${listening.port}/`);
};
export default { fetch, onListen } satisfies Deno.ServeDefaultExport;
// `deno serve` has called onListen by now; `deno run` ignores the export.
setTimeout(() => isServed || Deno.serve({ onListen }, fetch));
