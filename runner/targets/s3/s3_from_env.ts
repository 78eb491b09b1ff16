/** One bucket: S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, and S3_REGION if the store has regions. */
import { repoPrefix, type TargetsFromEnv, withoutSlash } from "../storage_env.ts";
import { createS3Target } from "./s3_target.ts";

export const s3Targets: TargetsFromEnv = (env, { retry, problems, account }) => {
  if (!env.S3_BUCKET) return [];
  const { S3_ENDPOINT: endpoint, S3_ACCESS_KEY_ID: accessKeyId, S3_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (!endpoint) problems.push("S3_ENDPOINT is missing");
  if (!accessKeyId) problems.push("S3_ACCESS_KEY_ID is missing");
  if (!secretAccessKey) problems.push("S3_SECRET_ACCESS_KEY is missing");
  if (!endpoint || !accessKeyId || !secretAccessKey) return [];
  return [createS3Target({
    endpoint: withoutSlash(endpoint),
    bucket: env.S3_BUCKET,
    region: env.S3_REGION || "auto",
    accessKeyId,
    secretAccessKey,
    repoPrefix: repoPrefix(env),
    account,
    retry,
  })];
};
