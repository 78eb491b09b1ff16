/** S3's XML documents. Example: `parseListPage(text)` → { objects: [{ key: "a/b.mp4", sizeBytes: 5 }], nextToken: null }. */
import { XMLBuilder, XMLParser } from "fast-xml-parser";
import { z } from "zod";

const parser = new XMLParser({ parseTagValue: false, htmlEntities: true, isArray: (name) => name === "Contents" });
const builder = new XMLBuilder();

export interface ListPage {
  readonly objects: readonly { readonly key: string; readonly sizeBytes: number }[];
  readonly nextToken: string | null;
}

const listPage = z.object({
  ListBucketResult: z.object({
    IsTruncated: z.string().optional(),
    NextContinuationToken: z.string().optional(),
    Contents: z.array(z.object({ Key: z.string(), Size: z.coerce.number().catch(0) })).default([]),
  }),
}).transform(({ ListBucketResult: list }): ListPage => ({
  objects: list.Contents.map(({ Key, Size }) => ({ key: Key, sizeBytes: Size })),
  nextToken: list.IsTruncated === "true" ? list.NextContinuationToken || null : null,
}));

const startedUpload = z.object({ InitiateMultipartUploadResult: z.object({ UploadId: z.string().min(1) }) });

/** null if the text is not a page of ListObjectsV2. */
export function parseListPage(text: string): ListPage | null {
  return listPage.safeParse(parse(text)).data ?? null;
}

/** null if the text has no upload id. */
export function parseUploadId(text: string): string | null {
  return startedUpload.safeParse(parse(text)).data?.InitiateMultipartUploadResult.UploadId ?? null;
}

/** Whether the document is an error: a completion may respond with 200 and fail in its body. */
export function isErrorDocument(text: string): boolean {
  return z.object({ Error: z.unknown() }).safeParse(parse(text)).data?.Error !== undefined;
}

export function completionDocument(parts: ReadonlyMap<number, string>): string {
  const Part = [...parts].sort(([a], [b]) => a - b).map(([PartNumber, ETag]) => ({ PartNumber, ETag }));
  return builder.build({ CompleteMultipartUpload: { Part } });
}

function parse(text: string): unknown {
  try {
    return parser.parse(text);
  } catch {
    return null; // an HTML page, or nothing
  }
}
