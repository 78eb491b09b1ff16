// Both functions as one program, for Deno Deploy: /api/v1/streaming/… and /api/v1/archive/…. Runs on: Deno Deploy, Deno.
import { Hono } from "hono";
import { buildArchiveApp } from "./archive/build.ts";
import { buildStreamingApp } from "./streaming/build.ts";

const env = Deno.env.toObject();
const streaming = buildStreamingApp(env);
const archive = buildArchiveApp(env);
const isArchive = (path: string) => /^\/(api\/v1\/)?archive(\/|$)/.test(path);

const app = new Hono().all("*", (c) => (isArchive(c.req.path) ? archive : streaming).fetch(c.req.raw));

Deno.serve((request, info) => {
  // Nothing stands between Deno Deploy's edge and this program: the connection's own address is the client's.
  const headers = new Headers(request.headers);
  headers.set("x-forwarded-for", "hostname" in info.remoteAddr ? info.remoteAddr.hostname : "");
  return app.fetch(new Request(request, { headers }));
});
