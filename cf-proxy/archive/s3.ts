import { AwsClient } from "aws4fetch";
import type { S3Target } from "../env.ts";
import type { HeaderRecord } from "../http/headers.ts";

/** The headers that sign a GET of `url` (AWS Signature Version 4). */
export async function s3Headers({ baseUrl: _, ...credentials }: S3Target, url: string): Promise<HeaderRecord> {
  const signed = await new AwsClient({ ...credentials, service: "s3" }).sign(url, { method: "GET" });
  const names = ["authorization", "x-amz-date", "x-amz-content-sha256"];
  return Object.fromEntries(names.map((name) => [name, signed.headers.get(name) ?? ""]));
}
