/**
 * Serves a storage folder to cf-proxy: GET and HEAD with a bearer token, single ranges, archived files only.
 * Example: GET /archive/archive-55825/55825/ep1/<key>.mp4 with `Authorization: Bearer <STORAGE_FOLDER_TOKEN>`.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { parseRange, resolveRange } from "../../../core/http/range.ts";
import { SIDECAR_ENDING } from "../../../core/presentation.ts";
import { contentTypeOf } from "../sidecars.ts";
import { FilePart } from "../../transfer/staged_file.ts";

const ARCHIVED = /^\/[A-Za-z0-9._-]+\/\d+\/ep\d+\/[0-9a-f]+(\..+)$/;

export interface FolderFilesOptions {
  readonly root: string;
  readonly token: string;
}

/** `path`: after the mount point, e.g. `/archive-1/1/ep1/ab.mp4`. */
export async function serveFolderFile(
  request: Request,
  options: FolderFilesOptions & { path: string },
): Promise<Response> {
  if (!mayRead(request, options.token)) return plain(401, "a bearer token is required");
  if (request.method !== "GET" && request.method !== "HEAD") return plain(405, "GET or HEAD");
  if (!isArchived(options.path)) return plain(404, "no such file"); // also prevents path traversal
  const path = `${options.root}${options.path}`;
  const stat = await Deno.stat(path).catch(() => null); // missing
  if (!stat?.isFile) return plain(404, "no such file");

  const etag = `"${(await Deno.readTextFile(`${path}.sha256`).catch(() => "")).trim() || stat.mtime?.getTime()}"`;
  const headers = new Headers({
    "content-type": contentTypeOf(path),
    "accept-ranges": "bytes",
    "cache-control": "private, max-age=3600",
    etag,
  });
  const ifRange = request.headers.get("if-range");
  const header = ifRange === null || ifRange === etag ? request.headers.get("range") : null;
  const range = parseRange(header);
  const first = range.kind === "ranges" && range.ranges.length === 1 ? range.ranges[0] : undefined;
  const span = first && resolveRange(first, stat.size);
  if (range.kind === "unusable" || (span && !span.ok)) {
    headers.set("content-range", `bytes */${stat.size}`);
    return new Response(null, { status: 416, headers });
  }
  const { start, end } = span ? span.value : { start: 0, end: stat.size - 1 };
  headers.set("content-length", String(end - start + 1));
  if (span) headers.set("content-range", `bytes ${start}-${end}/${stat.size}`);
  const body = request.method === "HEAD" || stat.size === 0
    ? null
    : new FilePart(path, { start, end: end + 1 }).stream();
  return new Response(body, { status: span ? 206 : 200, headers });
}

function isArchived(path: string): boolean {
  const ending = ARCHIVED.exec(path)?.[1] ?? "";
  return ending === ".mp4" || SIDECAR_ENDING.test(ending);
}

function mayRead(request: Request, token: string): boolean {
  const given = /^Bearer (.+)$/.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return token !== "" && timingSafeEqual(digest(given), digest(token));
}

function plain(status: number, text: string): Response {
  return new Response(`${text}\n`, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" },
  });
}
