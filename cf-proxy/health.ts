/**
 * `GET /health`: the Worker runs and its configuration is valid. `?deep=1` also sends a request to every storage target with its
 * credentials, and verifies the public API's takedown list, which proves that both sides have the same signing keys.
 */
import type { Invocation } from "./invocation.ts";
import type { Config, FolderTarget, S3Target } from "./env.ts";
import { COMMON_HEADERS, type HeaderRecord } from "./http/headers.ts";
import * as cache from "./cache/two_tier_cache.ts";
import { s3Headers } from "./archive/s3.ts";
import { verifyRecent } from "./archive/takedown_list.ts";
import { fetchTakedowns } from "./archive/takedowns.ts";

const TIMEOUT_MS = 5000;
/** Cached, so that frequent probes do not reach the storage. */
const CACHE_SECONDS = 15;
/** A path without a file: a healthy storage target responds 404. */
const MISSING_FILE = "keepstream-health-check";

export function health(reasons: readonly string[]): Response {
  const body = reasons.length === 0 ? { status: "ok" } : { status: "unhealthy", reasons };
  const headers = { ...COMMON_HEADERS, "Cache-Control": "no-store" };
  return Response.json(body, { status: reasons.length === 0 ? 200 : 503, headers });
}

export async function deepHealth({ config, context }: Invocation): Promise<Response> {
  const cached = await cache.get<readonly string[]>("health", "deep");
  if (cached !== null) return health(cached);
  const reasons = await probe(config);
  context.waitUntil(cache.put("health", "deep", reasons, CACHE_SECONDS));
  return health(reasons);
}

/** One sentence per failure: what failed and what to do. Contains no URL, user name or token, because the route is public. */
async function probe(config: Config): Promise<string[]> {
  const { hubAccounts, s3, folder, publicApiUrl } = config;
  const checks = [
    ...hubAccounts.map(({ token }, index) => checkHub(config.hubEndpoint, token, index + 1)),
    ...(s3 === null ? [] : [checkS3(s3)]),
    ...(folder === null ? [] : [checkFolder(folder)]),
    ...(publicApiUrl === null ? [] : [checkApi(config, publicApiUrl)]),
  ];
  return (await Promise.all(checks)).filter((reason) => reason !== null);
}

async function checkHub(endpoint: string, token: string, number: number): Promise<string | null> {
  const status = await statusOf(`${endpoint}/api/whoami-v2`, { authorization: `Bearer ${token}` });
  // whoami has a rate limit of its own: 429 does not mean that files cannot be read.
  if (status === 200 || status === 429) return null;
  if (status === 401 || status === 403) {
    return `the Hub refuses HF_TOKEN_STORAGE_${number} (${status}): create a new read token`;
  }
  return `the Hub does not answer for HF_TOKEN_STORAGE_${number} (${status ?? "no response"})`;
}

async function checkS3(target: S3Target): Promise<string | null> {
  const url = `${target.baseUrl}/${MISSING_FILE}`;
  const response = await fetchHeaders(url, await s3Headers(target, url));
  const text = response === null ? "" : await response.text().catch(() => "");
  // A key that may read but not list gets 403 AccessDenied for a missing object.
  if (response?.status === 404 && !text.includes("NoSuchBucket")) return null;
  if (response?.status === 403 && text.includes("<Code>AccessDenied</Code>")) return null;
  if (response?.status === 403) {
    return "the S3 store refuses S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY (403): set them again";
  }
  if (response?.status === 404) return "the S3 store has no such bucket: check S3_BUCKET";
  return `the S3 store does not answer (${response?.status ?? "no response"}): check S3_ENDPOINT`;
}

async function checkFolder({ baseUrl, token }: FolderTarget): Promise<string | null> {
  const status = await statusOf(`${baseUrl}/${MISSING_FILE}`, { authorization: `Bearer ${token}` });
  if (status === 404) return null;
  if (status === 401 || status === 403) {
    return `the runner refuses STORAGE_FOLDER_TOKEN (${status}): set the value that the runner has`;
  }
  return `the runner's folder does not answer (${status ?? "no response"}): check STORAGE_FOLDER_URL`;
}

async function checkApi({ keys }: Config, publicApiUrl: string): Promise<string | null> {
  try {
    await verifyRecent(await fetchTakedowns(publicApiUrl), { keys, now: () => Date.now() });
    return null;
  } catch (error) {
    const reason = error instanceof Error && /takedowns/.test(error.message) ? error.message : "it does not answer";
    return `PUBLIC_API_URL: ${reason}`;
  }
}

async function statusOf(url: string, headers: HeaderRecord): Promise<number | null> {
  const response = await fetchHeaders(url, headers);
  await response?.body?.cancel();
  return response?.status ?? null;
}

/** Null if there is no response. Redirects are not followed, because the request carries credentials. */
async function fetchHeaders(url: string, headers: HeaderRecord): Promise<Response | null> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  return await fetch(url, { headers, redirect: "manual", signal }).catch(() => null);
}
