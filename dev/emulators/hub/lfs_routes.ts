// Git LFS as on the Hub: the batch call, the signed upload URLs (one PUT, or one per part), complete and verify.
// Example: POST /datasets/alice/archive-1.git/info/lfs/objects/batch.

import { Hono } from "hono";
import type { ObjectStore, Upload } from "./objects.ts";
import { type Repo, repoKey, type RepoType, storedBytes } from "./repos.ts";
import { findWritable, type HubContext, type HubEnv, type HubState, operation, refuse, untilGone } from "./state.ts";

const LFS_TYPE = "application/vnd.git-lfs+json";

/** Routes on the Hub's own origin, for one kind of repository. */
export function lfsRoutes(state: HubState, type: RepoType): Hono<HubEnv> {
  const app = new Hono<HubEnv>();
  const git = "/:namespace/:git{[^/]+\\.git}/info/lfs";
  app.post(`${git}/objects/batch`, operation(state, "lfs_batch"), (c) => batch(c, state, type));
  app.post(`${git}/verify`, operation(state, "verify"), (c) => verify(c, state, type));
  return app;
}

/** Completion of a multipart upload: a signed URL on the Hub's origin, requested without a token. */
export function completeRoute(state: HubState): Hono<HubEnv> {
  const app = new Hono<HubEnv>();
  app.post("/api/complete_multipart", operation(state, "complete", { bucket: null }), (c) => complete(c, state));
  return app;
}

/** The upload URLs on the storage origin, which refuse tokens. */
export function uploadRoutes(state: HubState): Hono<HubEnv> {
  const app = new Hono<HubEnv>();
  app.put("/upload/:id", operation(state, "upload_basic", { bucket: null }), (c) => receive(c, state));
  app.put("/upload/:id/:part{[0-9]+}", operation(state, "upload_part", { bucket: null }), (c) => receive(c, state));
  return app;
}

async function batch(c: HubContext, state: HubState, type: RepoType): Promise<Response> {
  const repo = findWritable(c, repoAt(c, state, type));
  if (repo instanceof Response) return repo;
  const request = await c.req.json() as { transfers?: string[]; objects: { oid: string; size: number }[] };
  const user = c.get("user");
  const mayMultipart = request.transfers?.includes("multipart") ?? false;
  const responses = request.objects.map(({ oid, size }) => {
    const effect = c.get("effect");
    if (effect?.do === "object_error") return { oid, size, error: { code: effect.code, message: effect.message } };
    if (!/^[0-9a-f]{64}$/.test(oid) || !Number.isSafeInteger(size) || size < 0) {
      return { oid, size, error: { code: 422, message: "Invalid object" } };
    }
    if (repo.objects[oid]?.size === size) return { oid, size };
    const used = state.repos.all().filter((other) => other.namespace === repo.namespace)
      .reduce((sum, other) => sum + storedBytes(other), 0);
    if (used + size > (user?.quotaBytes ?? 0)) {
      return { oid, size, error: { code: 403, message: "Private repository storage limit reached" } };
    }
    const multipart = mayMultipart && size > state.multipartThresholdBytes;
    const upload = state.objects.begin({
      oid,
      size,
      chunkSize: multipart ? state.chunkBytes : null,
      repoKey: repoKey(repo),
    });
    return { oid, size, authenticated: true, actions: actionsOf(c, state, { upload, repo }) };
  });
  const multipart = responses.some((response) => "actions" in response && response.actions?.upload.header);
  return new Response(JSON.stringify({ transfer: multipart ? "multipart" : "basic", objects: responses }), {
    headers: { "content-type": LFS_TYPE },
  });
}

function actionsOf(c: HubContext, state: HubState, { upload, repo }: { upload: Upload; repo: Repo }) {
  const expiresAt = Math.floor(state.now()) + state.uploadUrlSeconds;
  const signedUrl = (base: string, path: string) => {
    const url = new URL(path, base);
    url.searchParams.set("owner", c.get("user")?.name ?? "");
    return state.signer.sign(url, expiresAt);
  };
  const expires_at = new Date(expiresAt * 1000).toISOString();
  const verifyAction = {
    href: `${state.hubUrl}/${repoKey(repo).replace(/^models\//, "")}.git/info/lfs/verify`,
    expires_at,
  };
  if (upload.chunkSize === null) {
    return { upload: { href: signedUrl(state.cdnUrl, `/upload/${upload.id}`), expires_at }, verify: verifyAction };
  }
  const header: Record<string, string> = { chunk_size: String(upload.chunkSize) };
  for (let part = 1; part <= Math.ceil(upload.size / upload.chunkSize); part++) {
    header[String(part).padStart(5, "0")] = signedUrl(state.cdnUrl, `/upload/${upload.id}/${part}`);
  }
  const href = signedUrl(state.hubUrl, `/api/complete_multipart?uploadId=${upload.id}`);
  return { upload: { href, header, expires_at }, verify: verifyAction };
}

async function receive(c: HubContext, state: HubState): Promise<Response> {
  const { number, upload, refusal } = checkUpload(c, state);
  if (refusal) {
    await c.req.raw.body?.cancel();
    return refusal;
  }
  const contentLength = Number(c.req.header("content-length"));
  const effect = c.get("effect");
  const source = c.req.raw.body;
  if (effect?.do === "reset_midway" || effect?.do === "hang_midway") {
    await readHalf(source, contentLength);
    if (effect.do === "hang_midway") await untilGone(c, state);
    else state.breakConnection(c.env.remoteAddr.port);
    return new Response(null, { status: 500 });
  }
  let arrival: Awaited<ReturnType<ObjectStore["receive"]>>;
  try {
    arrival = await state.objects.receive(upload, {
      number,
      body: source,
      contentLength,
      onBytes: (count) => c.get("call").bytes += count,
      keepBytes: effect?.do === "truncate" ? Math.floor(contentLength / 2) : undefined,
    });
  } catch {
    return xmlError(400, "IncompleteBody"); // the client closed the connection
  }
  if (arrival.kind === "short") return xmlError(400, "IncompleteBody");
  if (upload.chunkSize === null) return await finish(c, state, upload);
  return new Response(null, { headers: effect?.do === "drop_etag" ? {} : { ETag: arrival.etag } });
}

type Checked =
  | { readonly upload: Upload; readonly number: number; readonly refusal?: undefined }
  | { readonly upload?: undefined; readonly number?: undefined; readonly refusal: Response };

function checkUpload(c: HubContext, state: HubState): Checked {
  if (c.req.header("authorization")) return { refusal: xmlError(400, "InvalidArgument: two auth mechanisms") };
  const validity = state.signer.check(new URL(c.req.url), state.now());
  if (validity !== "valid") {
    return { refusal: xmlError(403, validity === "expired" ? "AccessDenied" : "SignatureDoesNotMatch") };
  }
  const upload = state.objects.find(c.req.param("id") ?? "");
  if (!upload) return { refusal: xmlError(404, "NoSuchUpload") };
  if (c.req.header("content-length") === undefined) return { refusal: xmlError(411, "MissingContentLength") };
  const number = Number(c.req.param("part") ?? 1);
  const chunk = upload.chunkSize ?? upload.size;
  const wanted = Math.min(chunk, upload.size - (number - 1) * chunk);
  if (Number(c.req.header("content-length")) !== wanted) return { refusal: xmlError(400, "EntityTooSmall") };
  return { upload, number };
}

async function complete(c: HubContext, state: HubState): Promise<Response> {
  if (state.signer.check(new URL(c.req.url), state.now()) !== "valid") {
    return refuse(403, "Invalid or expired signature");
  }
  const body = await c.req.json() as { oid: string; parts: { partNumber: number; etag: string }[] };
  const upload = state.objects.find(c.req.query("uploadId") ?? "");
  if (!upload) return refuse(404, "NoSuchUpload: the upload was completed or given up");
  const wanted = Math.ceil(upload.size / (upload.chunkSize ?? upload.size));
  const listed = body.parts.every(({ partNumber, etag }) => upload.parts.get(partNumber)?.etag === etag);
  if (body.oid !== upload.oid || body.parts.length !== wanted || !listed) return refuse(400, "InvalidPart");
  return await finish(c, state, upload);
}

async function finish(c: HubContext, state: HubState, upload: Upload): Promise<Response> {
  const outcome = await state.objects.finish(upload);
  if (outcome === "mismatch") return refuse(400, "BadDigest: the bytes are not the object's");
  const repo = state.repos.byKey(upload.repoKey);
  if (!repo) return refuse(404, "Repository not found", "RepoNotFound");
  repo.objects[upload.oid] = {
    size: upload.size,
    pushedAt: new Date(state.now() * 1000).toISOString(),
    filename: null,
  };
  await state.repos.save(repo);
  return c.json({ success: true });
}

async function verify(c: HubContext, state: HubState, type: RepoType): Promise<Response> {
  const repo = findWritable(c, repoAt(c, state, type));
  if (repo instanceof Response) return repo;
  const { oid, size } = await c.req.json() as { oid: string; size: number };
  return repo.objects[oid]?.size === size ? c.json({}) : refuse(404, "Object does not exist");
}

function repoAt(c: HubContext, state: HubState, type: RepoType): Repo | undefined {
  const name = (c.req.param("git") ?? "").replace(/\.git$/, "");
  return state.repos.find({ type, namespace: c.req.param("namespace") ?? "", name });
}

async function readHalf(body: ReadableStream<Uint8Array> | null, contentLength: number): Promise<void> {
  let read = 0;
  const reader = body?.getReader();
  while (reader && read * 2 < contentLength) {
    const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
    if (done) break;
    read += value?.byteLength ?? 0;
  }
}

export function xmlError(status: number, code: string): Response {
  return new Response(`<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code></Error>`, {
    status,
    headers: { "content-type": "application/xml" },
  });
}
