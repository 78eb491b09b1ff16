// Reading a file: `/datasets/<ns>/<repo>/resolve/<rev>/<path>` redirects to a signed URL of the CDN (302) for a large file, and to a
// relative URL (307) for a small one. The CDN supports ranges.

import { Hono } from "hono";
import { xmlError } from "./lfs_routes.ts";
import { commitAt, lfsPointer, type Repo, repoKey, type RepoType, type TreeEntry } from "./repos.ts";
import { findReadable, type HubContext, type HubEnv, type HubState, operation, refuse } from "./state.ts";

/** Routes on the Hub's own origin, for one kind of repository. */
export function resolveRoutes(state: HubState, type: RepoType): Hono<HubEnv> {
  const app = new Hono<HubEnv>();
  const at = (kind: string) => `/:namespace/:name/${kind}/:revision/:path{.+}`;
  app.get(at("resolve"), operation(state, "resolve", { bucket: "resolvers" }), (c) => resolve(c, state, type));
  app.get(at("raw"), operation(state, "resolve", { bucket: "resolvers" }), (c) => raw(c, state, type));
  return app;
}

/** Target of a relative 307: small files, on the Hub's own origin. */
export function smallFileRoutes(state: HubState): Hono<HubEnv> {
  const app = new Hono<HubEnv>();
  app.get(
    "/api/resolve-cache/:types{(?:models|datasets|spaces)}/:namespace/:name/:revision/:path{.+}",
    operation(state, "small_file", { bucket: "resolvers" }),
    async (c) => {
      const type = c.req.param("types").slice(0, -1) as RepoType;
      const found = findEntry(c, state, type);
      if (found instanceof Response) return found;
      return rangeResponse(c, await state.objects.readSmall(found.entry.oid), found.entry.oid);
    },
  );
  return app;
}

/** The CDN: signed URLs only, any range, no token. */
export function cdnRoutes(state: HubState): Hono<HubEnv> {
  const app = new Hono<HubEnv>();
  app.get("/repos/:shard/:oid", operation(state, "cdn", { bucket: null }), (c) => cdn(c, state));
  return app;
}

function resolve(c: HubContext, state: HubState, type: RepoType): Response {
  const found = findEntry(c, state, type);
  if (found instanceof Response) return found;
  const { repo, entry, path, commit } = found;
  const headers: Record<string, string> = {
    "X-Repo-Commit": commit,
    "Accept-Ranges": "bytes",
    "Access-Control-Allow-Origin": "*",
    "Vary": "Origin, Accept",
  };
  const isLfs = entry.kind === "lfs";
  headers["ETag"] = `"${entry.oid}"`;
  headers["X-Linked-Size"] = String(entry.size);
  headers["X-Linked-ETag"] = `"${entry.oid}"`;
  let location: string;
  if (isLfs) {
    const url = new URL(`/repos/${entry.oid.slice(0, 2)}/${entry.oid}`, state.cdnUrl);
    const name = encodeURIComponent(path.split("/").at(-1) ?? "");
    url.searchParams.set("response-content-disposition", `inline; filename*=UTF-8''${name}`);
    url.searchParams.set("response-content-type", typeByName(path));
    url.searchParams.set("owner", repo.namespace);
    location = state.signer.sign(url, Math.floor(state.now()) + state.cdnUrlSeconds);
  } else {
    const encoded = path.split("/").map(encodeURIComponent).join("/");
    location = `/api/resolve-cache/${repoKey(repo)}/${commit}/${encoded}?etag=%22${entry.oid}%22`;
  }
  const status = isLfs ? 302 : 307;
  const text = `${isLfs ? "Found" : "Temporary Redirect"}. Redirecting to ${location}`;
  return new Response(c.req.method === "HEAD" ? null : text, {
    status,
    headers: { ...headers, Location: location, "content-type": "text/plain; charset=utf-8" },
  });
}

async function raw(c: HubContext, state: HubState, type: RepoType): Promise<Response> {
  const found = findEntry(c, state, type);
  if (found instanceof Response) return found;
  const bytes = found.entry.kind === "lfs"
    ? new TextEncoder().encode(lfsPointer(found.entry))
    : await state.objects.readSmall(found.entry.oid);
  return rangeResponse(c, bytes, found.entry.oid);
}

function findEntry(c: HubContext, state: HubState, type: RepoType):
  | { repo: Repo; entry: TreeEntry; path: string; commit: string }
  | Response {
  const id = { type, namespace: c.req.param("namespace") ?? "", name: c.req.param("name") ?? "" };
  const repo = findReadable(c, state.repos.find(id));
  if (repo instanceof Response) return repo;
  const commit = commitAt(repo, c.req.param("revision") ?? "");
  if (!commit) return refuse(404, "Invalid rev id", "RevisionNotFound");
  const path = c.req.param("path") ?? "";
  const entry = commit.tree[path];
  if (!entry || (entry.kind === "lfs" && !repo.objects[entry.oid])) {
    return refuse(404, "Entry not found", "EntryNotFound");
  }
  return { repo, entry, path, commit: commit.oid };
}

async function cdn(c: HubContext, state: HubState): Promise<Response> {
  if (c.req.header("authorization")) return xmlError(400, "InvalidArgument: two auth mechanisms");
  const validity = state.signer.check(new URL(c.req.url), state.now());
  if (validity !== "valid") return xmlError(403, validity === "expired" ? "AccessDenied" : "SignatureDoesNotMatch");
  const oid = c.req.param("oid") ?? "";
  const holder = state.repos.all().find((repo) => repo.objects[oid]);
  const size = holder?.objects[oid]?.size;
  if (size === undefined) return xmlError(404, "NoSuchKey");
  const range = parseSingleRange(c.req.header("range"), size);
  if (range === "unsatisfiable") {
    const refusal = xmlError(416, "InvalidRange");
    refusal.headers.set("Content-Range", `bytes */${size}`);
    return refusal;
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  const headers = new Headers({
    "content-type": c.req.query("response-content-type") ?? "application/octet-stream",
    "content-length": String(end - start + 1),
    "content-disposition": c.req.query("response-content-disposition") ?? "inline",
    "accept-ranges": "bytes",
    "etag": `"${oid}"`,
    "access-control-allow-origin": "*",
  });
  if (range) headers.set("content-range", `bytes ${start}-${end}/${size}`);
  const status = range ? 206 : 200;
  c.get("call").bytes = end - start + 1;
  if (c.req.method === "HEAD" || size === 0) return new Response(null, { status, headers });
  const body = await state.objects.open(oid, { start, end });
  if (c.get("effect")?.do === "reset_midway") {
    return new Response(cutMidway(body, end - start + 1), { status, headers });
  }
  return new Response(body, { status, headers });
}

function rangeResponse(c: HubContext, bytes: Uint8Array, oid: string): Response {
  const range = parseSingleRange(c.req.header("range"), bytes.byteLength);
  const headers: Record<string, string> = {
    "content-type": "text/plain; charset=utf-8",
    "etag": `"${oid}"`,
    "accept-ranges": "bytes",
  };
  if (range === "unsatisfiable") {
    return new Response(null, { status: 416, headers: { ...headers, "content-range": `bytes */${bytes.byteLength}` } });
  }
  if (!range) return new Response(bytes as Uint8Array<ArrayBuffer>, { headers });
  headers["content-range"] = `bytes ${range.start}-${range.end}/${bytes.byteLength}`;
  return new Response(bytes.slice(range.start, range.end + 1), { status: 206, headers });
}

/** One range as S3 and CloudFront read it; several ranges or an unknown unit count as none. */
export function parseSingleRange(header: string | undefined, size: number) {
  const match = header?.match(/^bytes=(\d*)-(\d*)$/);
  if (!match || (match[1] === "" && match[2] === "")) return null;
  if (match[1] === "") {
    const count = Math.min(Number(match[2]), size);
    return count === 0 ? "unsatisfiable" as const : { start: size - count, end: size - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (match[2] !== "" && Number(match[2]) < start) return null;
  return start >= size ? "unsatisfiable" as const : { start, end };
}

function cutMidway(body: ReadableStream<Uint8Array>, size: number): ReadableStream<Uint8Array> {
  let sent = 0;
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        const half = Math.max(0, Math.floor(size / 2) - sent);
        sent += chunk.byteLength;
        if (chunk.byteLength <= half) return controller.enqueue(chunk);
        controller.enqueue(chunk.subarray(0, half));
        controller.error(new Error("cut midway on purpose"));
      },
    }),
  );
}

function typeByName(path: string): string {
  if (path.endsWith(".mp4")) return "video/mp4";
  return path.endsWith(".json") ? "application/json" : "application/octet-stream";
}
