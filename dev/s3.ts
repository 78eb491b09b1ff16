// A real S3 server (@20minutes/s3rver from npm, which verifies signatures) on loopback, for tests of the S3 target. Any access key is `S3RVER`/`S3RVER`.
// Example: `const s3 = await startS3({ dir, bucket: "archive" })`. Runs on: Deno.

import S3rver from "@20minutes/s3rver";

export interface S3Server {
  readonly url: string;
  readonly env: Record<string, string>;
  stop(): Promise<void>;
}

export async function startS3(options: { dir: string; bucket: string; port?: number }): Promise<S3Server> {
  const server = new S3rver({
    address: "127.0.0.1",
    port: options.port ?? 0,
    silent: true,
    directory: options.dir,
    configureBuckets: [{ name: options.bucket }],
  });
  const { port } = await server.run();
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    env: {
      S3_ENDPOINT: url,
      S3_BUCKET: options.bucket,
      S3_REGION: "us-east-1",
      S3_ACCESS_KEY_ID: "S3RVER",
      S3_SECRET_ACCESS_KEY: "S3RVER",
    },
    stop: () => server.close(),
  };
}
