/** Sends objects to the Hub's storage; they become visible with a commit (hub_commit.ts). */

import { MAX_UPLOAD_PLANS } from "../../retry_policies.ts";
import { sendParts, UploadExpiredError } from "../../transfer/multipart.ts";
import { type RetryParts, retryStorageCall } from "../../transfer/retry.ts";
import { assertUnchanged, type StagedFile } from "../../transfer/staged_file.ts";
import { StorageError } from "../../transfer/storage_error.ts";
import type { UploadJournal } from "../../transfer/upload_journal.ts";
import type { UploadPlan } from "../../transfer/upload_plan.ts";
import type { PutOptions } from "../target.ts";
import type { HubApi } from "./hub_api.ts";

/** Upload URLs that expire sooner are not used. */
const MIN_URL_SECONDS = 60;

export interface HubParts {
  readonly api: HubApi;
  readonly put: PutOptions;
  readonly retry: RetryParts;
  /** Of the target. */
  readonly name: string;
}

type Journal = Pick<UploadJournal<UploadPlan>, "confirm">;

/** Uploads the object; resumes an interrupted upload. */
export async function upload(
  file: StagedFile,
  repo: string,
  { journal, ...parts }: HubParts & { journal: UploadJournal<UploadPlan> },
): Promise<void> {
  await withFreshPlans(parts, async () => {
    let state = await journal.read();
    if (!state || !isFresh(state.plan)) {
      const plan = (await parts.api.batch(repo, [file], parts.put)).get(file.sha256) ?? null;
      if (plan === null) return;
      await journal.begin(plan);
      state = { plan, parts: new Map() };
    }
    try {
      await assertUnchanged(file);
      await send(file, state, { ...parts, journal });
    } catch (error) {
      parts.put.signal?.throwIfAborted();
      if (!(error instanceof UploadExpiredError)) throw error;
      await journal.remove();
      await assertUnchanged(file);
      throw error;
    }
  });
}

/** Uploads small objects, with one batch call for all. The commit refuses those that did not arrive, so they are not verified one by one. */
export async function uploadSmall(files: readonly StagedFile[], repo: string, parts: HubParts): Promise<void> {
  const distinct = [...new Map(files.map((file) => [file.sha256, file])).values()];
  if (distinct.length === 0) return;
  const put: PutOptions = { semaphore: parts.put.semaphore, ...(parts.put.signal && { signal: parts.put.signal }) };
  const journal = { confirm: () => Promise.resolve() };
  await withFreshPlans(parts, async () => {
    const plans = await parts.api.batch(repo, distinct, put);
    for (const file of distinct) {
      const plan = plans.get(file.sha256) ?? null;
      if (plan === null) continue;
      await assertUnchanged(file);
      await send(file, { plan: { ...plan, verifyHref: null }, parts: new Map() }, { ...parts, put, journal });
    }
  });
}

async function withFreshPlans({ put, retry }: HubParts, uploadOnce: () => Promise<void>): Promise<void> {
  await retryStorageCall(uploadOnce, { ...retry, times: { ...retry.times, attempts: MAX_UPLOAD_PLANS } }, {
    signal: put.signal,
    retryable: (error) => error instanceof UploadExpiredError,
  });
}

async function send(
  file: StagedFile,
  state: { plan: UploadPlan; parts: Map<number, string> },
  { api, journal, put, retry, name }: HubParts & { journal: Journal },
): Promise<void> {
  const { plan, parts: done } = state;
  await sendParts({
    target: name,
    file,
    partBytes: plan.multipart?.partBytes ?? Math.max(1, file.sizeBytes),
    done,
    request: (part) =>
      Promise.resolve({
        url: plan.multipart === null ? plan.href : plan.multipart.partUrls[part]!,
        headers: plan.headers,
      }),
    onPart: (part, etag) => journal.confirm(part, etag),
    onProgress: put.onProgress ?? (() => {}),
    semaphore: put.semaphore,
    signal: put.signal,
    retry,
    etagNeeded: plan.multipart !== null,
  });
  try {
    if (plan.multipart) {
      const parts = [...done].sort(([a], [b]) => a - b).map(([partNumber, etag]) => ({ partNumber, etag }));
      await api.complete(plan.href, { oid: file.sha256, parts }, put);
    }
    if (plan.verifyHref) await api.verify(plan.verifyHref, file, put);
  } catch (error) {
    // It may have succeeded nevertheless, or the parts are wrong; the next batch call shows it.
    if (error instanceof StorageError && !["auth", "quota", "account_flagged"].includes(error.problem)) {
      throw new UploadExpiredError(error);
    }
    throw error;
  }
}

function isFresh(plan: UploadPlan): boolean {
  return plan.expiresAt === null || Date.parse(plan.expiresAt) - Date.now() > MIN_URL_SECONDS * 1000;
}
