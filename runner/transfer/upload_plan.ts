/**
 * How to upload an object to the Hub: with one PUT, or in parts, each with a URL that works for some time without a token. Responses and
 * journals pass the same checks.
 */

import { z } from "zod";
import { partCount } from "./multipart.ts";
import { StorageError } from "./storage_error.ts";

const MAX_PARTS = 10_000;

export const planSchema = z.object({
  /** The Hub that made the plan; its URLs are useless for another one. */
  endpoint: z.url(),
  href: z.url(),
  /** null: one PUT to href. */
  multipart: z.object({ partBytes: z.int().positive(), partUrls: z.record(z.string(), z.url()) }).nullable(),
  headers: z.record(z.string(), z.string()),
  verifyHref: z.url().nullable(),
  expiresAt: z.string().nullable(),
});

export type UploadPlan = z.infer<typeof planSchema>;

export interface LfsAction {
  readonly href: string;
  readonly header?: Readonly<Record<string, string>> | undefined;
  readonly expires_at?: string | undefined;
}

/** The plan in the Hub's response; `check` returns a URL that may be requested, or throws. */
export function uploadPlan(
  actions: { upload: LfsAction; verify?: LfsAction | undefined },
  object: { sizeBytes: number },
  { endpoint, check }: { endpoint: string; check: (address: string) => string },
): UploadPlan {
  const { chunk_size, ...rest } = actions.upload.header ?? {};
  const partUrls = Object.entries(rest).filter(([key]) => /^\d{1,5}$/.test(key))
    .map(([key, url]) => [String(Number(key)), check(url)]);
  const plan: UploadPlan = {
    endpoint,
    href: check(actions.upload.href),
    multipart: chunk_size === undefined
      ? null
      : { partBytes: Number(chunk_size), partUrls: Object.fromEntries(partUrls) },
    headers: chunk_size === undefined ? rest : {},
    verifyHref: actions.verify ? check(actions.verify.href) : null,
    expiresAt: actions.upload.expires_at ?? null,
  };
  if (coversFile(plan, object.sizeBytes)) return plan;
  throw new StorageError("transient", "the Hub's upload URLs do not cover the file", { code: "storage_5xx" });
}

/** A plan from a journal; null if it is for another file, endpoint or release. */
export function keptPlan(value: unknown, here: { sizeBytes: number; endpoint: string }): UploadPlan | null {
  const plan = planSchema.safeParse(value).data;
  return plan?.endpoint === here.endpoint && coversFile(plan, here.sizeBytes) ? plan : null;
}

/** Whether every part of the file has exactly one URL. */
function coversFile({ multipart }: UploadPlan, sizeBytes: number): boolean {
  if (multipart === null) return true;
  const { partBytes, partUrls } = multipart;
  const count = Number.isSafeInteger(partBytes) && partBytes > 0 ? partCount(sizeBytes, partBytes) : Infinity;
  if (count > MAX_PARTS || Object.keys(partUrls).length !== count) return false;
  return Array.from({ length: count }, (_, index) => index + 1).every((part) => partUrls[part] !== undefined);
}
