// Reads an archived file from wherever a copy lies: an account of the Hub, an S3-compatible bucket, the runner's folder.
// All of them keep it at {prefix}-{mal_id}/{mal_id}/ep{n}/{key}.mp4, so that one stands in for another.
// Runs on: workerd.
import { AwsClient } from "aws4fetch";
import { type HubFile, parseArchiveUrl } from "../../core/archive_location.ts";
import type { VerifiedLink } from "../../core/link.ts";
import { err, type Result } from "../../core/result.ts";
import type { Config } from "../env.ts";
import { sourceRequestHeaders } from "../http/headers.ts";
import { type ArchiveOptions, fetchArchive, forHead, moreTelling } from "./hub.ts";
import type { Problem } from "../http/problem.ts";
import { badGateway, fetchOnce, type Upstream } from "../http/upstream.ts";

/** Where the link's own copy lies, and the name that the file has everywhere. */
export interface ArchivedFile {
  readonly shelf: "hub" | "s3" | "folder";
  /** As a file of the Hub; for the other shelves, what it would be on the first account. */
  readonly hubFile: HubFile | null;
  /** `{prefix}-{mal_id}/{mal_id}/ep{n}/{key}.mp4`, or a picture or subtitles beside it. */
  readonly name: string;
}

/** `{prefix}-{mal_id}/{mal_id}/ep{n}/{key}.mp4`: whatever else the storage accounts hold is not ours to serve. */
const ARCHIVED_NAME = /^[^/]*-(\d+)\/\1\/ep(\d+)\/[0-9a-f]{32}(\.[a-z0-9]+)+$/;

/**
 * The archived file of a link, or null when it names none. The signature's own word counts, not the address: a provider's page or a
 * playlist can name any file of the accounts, and must not be served it with their credentials.
 */
export function archivedFileOf(link: VerifiedLink, config: Config): ArchivedFile | null {
  if (link.context.archive !== true) return null;
  const file = parseArchivedFile(link.url, config);
  return file !== null && ARCHIVED_NAME.test(file.name) ? file : null;
}

function parseArchivedFile(url: URL, config: Config): ArchivedFile | null {
  const hubFile = parseArchiveUrl(url, config.hubOrigin);
  if (hubFile !== null) {
    return { shelf: "hub", hubFile, name: hubFile.rest.replace(/^\/resolve\/[^/]+/, hubFile.name) };
  }
  for (const shelf of ["s3", "folder"] as const) {
    const base = config[shelf]?.base;
    if (base === undefined || !url.href.startsWith(`${base}/`) || url.search !== "") continue;
    const name = url.href.slice(base.length + 1);
    const [repo, ...path] = name.split("/");
    const owner = config.hubAccounts[0]?.username;
    const rest = `/resolve/main/${path.join("/")}`;
    return { shelf, hubFile: owner === undefined ? null : { owner, name: repo!, rest }, name };
  }
  return null;
}

/** The copy that the link names first, then any other. */
export async function fetchArchived(
  request: Request,
  file: ArchivedFile,
  options: ArchiveOptions,
): Promise<Result<Upstream, Problem>> {
  const { config } = options.invocation;
  const order = ["hub", "s3", "folder"].toSorted((a, b) => Number(b === file.shelf) - Number(a === file.shelf));
  let worst: Problem | null = null;
  for (const shelf of order) {
    const answer = shelf === "hub"
      ? file.hubFile && await fetchArchive(request, file.hubFile, options)
      : config[shelf as "s3" | "folder"] && await fetchShelf(request, file.name, { ...options, shelf });
    if (!answer) continue;
    if (answer.ok) return answer;
    worst = moreTelling(worst, answer.error);
  }
  return err(worst ?? badGateway("archive_unreachable", "the archive's storage is not configured here"));
}

/** Credentials go with this one request: a redirect is not followed. */
async function fetchShelf(
  request: Request,
  name: string,
  options: ArchiveOptions & { readonly shelf: string },
): Promise<Result<Upstream, Problem>> {
  const { s3, folder } = options.invocation.config;
  const headers = sourceRequestHeaders({ client: request.headers, context: undefined, whole: false });
  // The signature is for GET; one byte of it tells all that HEAD asks for.
  if (request.method === "HEAD") headers.range = "bytes=0-0";
  let url: URL;
  if (options.shelf === "s3" && s3 !== null) {
    url = new URL(`${s3.base}/${name}`);
    const signed = await new AwsClient({ ...s3, service: "s3" }).sign(url.href, { method: "GET" });
    for (const header of ["authorization", "x-amz-date", "x-amz-content-sha256"]) {
      headers[header] = signed.headers.get(header) ?? "";
    }
  } else {
    url = new URL(`${folder!.base}/${name}`);
    headers.authorization = `Bearer ${folder!.token}`;
  }
  const answer = await fetchOnce({ url, method: "GET", headers }, options);
  if (!answer.ok) return answer;
  const { status } = answer.value;
  if (status < 300 || status === 304 || status === 412 || status === 416) {
    return { ok: true, value: { url, response: forHead(request, answer.value) } };
  }
  await answer.value.body?.cancel();
  return err(shelfProblem(status, options.shelf));
}

function shelfProblem(status: number, shelf: string): Problem {
  if (status === 404) return { status: 404, code: "archive_missing", detail: "no target has a copy of this file" };
  if (status === 401 || status === 403) {
    const names = shelf === "s3" ? "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY" : "STORAGE_FOLDER_TOKEN";
    return badGateway("archive_unauthorized", `the storage refuses the credentials; check ${names}`);
  }
  return badGateway("archive_unreachable", `the storage answered ${status}`);
}
