/**
 * `GET /health`: the Worker runs and can read its configuration. `?deep=1`: what it needs answers, too: each storage account and
 * target with our credentials, and the public API, whose list of takedowns proves that both sides have the same signing keys.
 */
import { AwsClient } from "aws4fetch";
import type { Invocation } from "./invocation.ts";
import type { Config, FolderShelf, S3Shelf } from "./env.ts";
import { COMMON_HEADERS } from "./http/headers.ts";
import * as cache from "./cache/two_tier_cache.ts";
import { verifyRecent } from "./archive/takedown_list.ts";
import { fetchTakedowns } from "./archive/takedowns.ts";

const TIMEOUT_MS = 5000;
/** A result is cached, so that frequent probes do not reach the storage. */
const KEEP_SECONDS = 15;
/** In every folder and bucket of archives this is not there: what counts is how its absence is answered. */
const ABSENT = "keepstream-health-check";

export function health(problems: readonly string[]): Response {
  const body = problems.length === 0 ? { status: "ok" } : { status: "unhealthy", reasons: problems };
  const headers = { ...COMMON_HEADERS, "Cache-Control": "no-store" };
  return Response.json(body, { status: problems.length === 0 ? 200 : 503, headers });
}

export async function deepHealth({ config, context }: Invocation): Promise<Response> {
  const kept = await cache.get<readonly string[]>("health", "deep");
  if (kept !== null) return health(kept);
  const problems = await probe(config);
  context.waitUntil(cache.put("health", "deep", problems, KEEP_SECONDS));
  return health(problems);
}

/** What is wrong and what to do, one sentence each. No address, name or token is in it. */
async function probe(config: Config): Promise<string[]> {
  const { hubAccounts, s3, folder, publicApiUrl } = config;
  const checks = [
    ...hubAccounts.map(({ token }, index) => checkHub(config.hubEndpoint, token, index + 1)),
    ...(s3 === null ? [] : [checkS3(s3)]),
    ...(folder === null ? [] : [checkFolder(folder)]),
    ...(publicApiUrl === null ? [] : [checkApi(config, publicApiUrl)]),
  ];
  return (await Promise.all(checks)).filter((problem) => problem !== null);
}

async function checkHub(endpoint: string, token: string, number: number): Promise<string | null> {
  const status = await statusOf(`${endpoint}/api/whoami-v2`, { authorization: `Bearer ${token}` });
  // 429: it answers. How often it is asked who a token is says nothing about the files, which have a quota of their own.
  if (status === 200 || status === 429) return null;
  if (status === 401 || status === 403) {
    return `the Hub refuses HF_TOKEN_STORAGE_${number} (${status}): make a new read token`;
  }
  return `the Hub does not answer for HF_TOKEN_STORAGE_${number} (${status ?? "no response"})`;
}

async function checkS3({ base, ...credentials }: S3Shelf): Promise<string | null> {
  const signed = await new AwsClient({ ...credentials, service: "s3" }).sign(`${base}/${ABSENT}`, { method: "GET" });
  const headers = Object.fromEntries(
    ["authorization", "x-amz-date", "x-amz-content-sha256"].map((name) => [name, signed.headers.get(name) ?? ""]),
  );
  const response = await responseOf(`${base}/${ABSENT}`, headers);
  const text = response === null ? "" : await response.text().catch(() => "");
  // A key that may read but not list gets 403 AccessDenied for what is absent.
  if (response?.status === 404 && !text.includes("NoSuchBucket")) return null;
  if (response?.status === 403 && text.includes("<Code>AccessDenied</Code>")) return null;
  if (response?.status === 403) {
    return "the S3 store refuses S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY (403): set them again";
  }
  if (response?.status === 404) return "the S3 store has no such bucket: check S3_BUCKET";
  return `the S3 store does not answer (${response?.status ?? "no response"}): check S3_ENDPOINT`;
}

async function checkFolder({ base, token }: FolderShelf): Promise<string | null> {
  const status = await statusOf(`${base}/${ABSENT}`, { authorization: `Bearer ${token}` });
  if (status === 404) return null;
  if (status === 401 || status === 403) return `the runner refuses STORAGE_FOLDER_TOKEN (${status}): set the runner's`;
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

async function statusOf(url: string, headers: Record<string, string>): Promise<number | null> {
  const response = await responseOf(url, headers);
  await response?.body?.cancel();
  return response?.status ?? null;
}

/** Null when it does not answer. Credentials go with this one request: a redirect is not followed. */
async function responseOf(url: string, headers: Record<string, string>): Promise<Response | null> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  return await fetch(url, { headers, redirect: "manual", signal }).catch(() => null);
}
