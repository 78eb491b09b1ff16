/** The Hub's JSON responses, and the metadata of a file on main. */
import { z } from "zod";

/** Becomes part of URLs. */
const commitId = z.string().regex(/^[0-9a-f]{40,64}$/);
export const pathsInfoResponse = z.array(z.object({
  path: z.string(),
  size: z.number(),
  oid: z.string().optional(),
  lfs: z.object({ oid: z.string(), size: z.number() }).optional(),
  lastCommit: z.object({ id: commitId, date: z.string().optional() }).nullish(),
}));
const action = z.object({
  href: z.url(),
  header: z.record(z.string(), z.string()).optional(),
  expires_at: z.string().optional(),
});
export const batchResponse = z.object({
  objects: z.array(z.object({
    oid: z.string(),
    actions: z.object({ upload: action.optional(), verify: action.optional() }).optional(),
    error: z.object({ code: z.number(), message: z.string() }).optional(),
  })),
});
export const commitResponse = z.object({ commitOid: commitId });
export const repositoriesResponse = z.array(z.object({ id: z.string(), storage: z.number().optional() }));
export const lfsFilesResponse = z.array(z.object({ fileOid: z.string(), filename: z.string().nullish() }));

export type RemoteFile =
  | { readonly kind: "no-repo" }
  | { readonly kind: "no-file" }
  | {
    readonly kind: "file";
    /** null for a small file in git itself. */
    readonly sha256: string | null;
    /** Of the file in git, or of its LFS pointer. */
    readonly gitOid: string | null;
    readonly sizeBytes: number;
    readonly commitOid: string | null;
    /** ISO 8601. */
    readonly committedAt: string | null;
  };
