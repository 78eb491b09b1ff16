// Reads an archived file from any storage target that has a copy: a Hub account, an S3 bucket, the runner's folder. A file has the
// same name on all of them, {prefix}-{mal_id}/{mal_id}/ep{n}/{key}.mp4, so one copy replaces another.
import { type HubFile, parseArchiveUrl } from "../../core/archive_location.ts";
import { hasEncodedSeparator, type VerifiedLink } from "../../core/link.ts";
import { MANIFEST_ENDING, SIDECAR_ENDING } from "../../core/presentation.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { Config } from "../env.ts";
import { toHeadResponse } from "../http/head_response.ts";
import { type HeaderRecord, sourceRequestHeaders } from "../http/headers.ts";
import { badGateway, type Problem } from "../http/problem.ts";
import { fetchOnce, type Upstream } from "../http/upstream.ts";
import { type ArchiveOptions, fetchFromHub, moreInformative } from "./hub.ts";
import { s3Headers } from "./s3.ts";

const TARGET_KINDS = ["hub", "s3", "folder"] as const;
type TargetKind = typeof TARGET_KINDS[number];
type HttpTargetKind = Exclude<TargetKind, "hub">;

const CREDENTIALS: Readonly<Record<HttpTargetKind, string>> = {
  s3: "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY",
  folder: "STORAGE_FOLDER_TOKEN",
};

export interface ArchivedFile {
  /** The storage target that the link names; it is tried first. */
  readonly target: TargetKind;
  /** The file on the Hub; for a link to another target, its place on the first account. */
  readonly hubFile: HubFile | null;
  /** `{prefix}-{mal_id}/{mal_id}/ep{n}/{key}.mp4`, or a file beside it. */
  readonly name: string;
  readonly key: string;
  /** `.mp4`, or the ending of a file beside it, such as `.v.m3u8`. */
  readonly ending: string;
}

/** Only these files are served: a storage account may contain other, private ones. */
const ARCHIVED_NAME = /^[^/]*-(\d+)\/\1\/ep(\d+)\/([0-9a-f]{32})((?:\.[a-z0-9]+)+)$/;

/**
 * The archived file of a link, or null. Only a link signed as an archive link has one: a provider's page or a playlist can name any
 * URL, and must not get a file that is read with the storage accounts' credentials.
 */
export function archivedFileOf(link: VerifiedLink, config: Config): ArchivedFile | null {
  if (link.context.archive !== true) return null;
  const place = placeOf(link.url, config);
  const [, , , key, ending] = ARCHIVED_NAME.exec(place?.name ?? "") ?? [];
  if (place === null || key === undefined || ending === undefined) return null;
  const isServed = ending === ".mp4" ||
    (SIDECAR_ENDING.test(ending) && ending !== MANIFEST_ENDING && !hasEncodedSeparator(link.url.pathname));
  return isServed && (link.context.files?.includes(key) ?? true) ? { ...place, key, ending } : null;
}

function placeOf(url: URL, config: Config): Pick<ArchivedFile, "target" | "hubFile" | "name"> | null {
  const hubFile = parseArchiveUrl(url, config.hubOrigin);
  if (hubFile !== null) {
    return { target: "hub", hubFile, name: hubFile.rest.replace(/^\/resolve\/[^/]+/, hubFile.name) };
  }
  for (const target of ["s3", "folder"] as const) {
    const baseUrl = config[target]?.baseUrl;
    if (baseUrl === undefined || !url.href.startsWith(`${baseUrl}/`) || url.search !== "") continue;
    const name = url.href.slice(baseUrl.length + 1);
    const [repo, ...path] = name.split("/");
    const owner = config.hubAccounts[0]?.username;
    const rest = `/resolve/main/${path.join("/")}`;
    return { target, hubFile: owner === undefined ? null : { owner, name: repo!, rest }, name };
  }
  return null;
}

/** Tries the link's own storage target first, then the others. */
export async function fetchArchived(
  request: Request,
  file: ArchivedFile,
  options: ArchiveOptions,
): Promise<Result<Upstream, Problem>> {
  const order = TARGET_KINDS.toSorted((a, b) => Number(b === file.target) - Number(a === file.target));
  let problem: Problem | null = null;
  for (const target of order) {
    const upstream = target === "hub"
      ? file.hubFile && await fetchFromHub(request, file.hubFile, options)
      : options.invocation.config[target] && await fetchFromTarget(request, { target, name: file.name }, options);
    if (!upstream) continue;
    if (upstream.ok) return upstream;
    problem = moreInformative(problem, upstream.error);
  }
  return err(problem ?? badGateway("archive_unreachable", "no storage target is configured for this archive"));
}

/** Redirects are not followed, because the request carries credentials. */
async function fetchFromTarget(
  request: Request,
  { target, name }: { readonly target: HttpTargetKind; readonly name: string },
  options: ArchiveOptions,
): Promise<Result<Upstream, Problem>> {
  const { config } = options.invocation;
  const url = new URL(`${config[target]!.baseUrl}/${name}`);
  const headers = {
    ...sourceRequestHeaders({ client: request.headers, context: undefined, whole: false }),
    ...await credentialHeaders(target, url, config),
  };
  // S3 signs the method, so a HEAD is sent as a GET of one byte.
  if (request.method === "HEAD") headers.range = "bytes=0-0";
  const fetched = await fetchOnce({ url, method: "GET", headers }, options);
  if (!fetched.ok) return fetched;
  const response = fetched.value;
  if (response.status < 300 || [304, 412, 416].includes(response.status)) {
    return ok({ url, response: request.method === "HEAD" ? toHeadResponse(response) : response });
  }
  await response.body?.cancel();
  return err(targetProblem(response.status, target));
}

async function credentialHeaders(target: HttpTargetKind, url: URL, { s3, folder }: Config): Promise<HeaderRecord> {
  return target === "s3" ? await s3Headers(s3!, url.href) : { authorization: `Bearer ${folder!.token}` };
}

function targetProblem(status: number, target: HttpTargetKind): Problem {
  if (status === 404) return { status: 404, code: "archive_missing", detail: "no target has a copy of this file" };
  if (status === 401 || status === 403) {
    return badGateway("archive_unauthorized", `the storage refuses the credentials: check ${CREDENTIALS[target]}`);
  }
  return badGateway("archive_unreachable", `the storage responded ${status}`);
}
