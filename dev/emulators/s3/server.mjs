// The S3 server as a program of its own, for node or deno: `node dev/emulators/s3/server.mjs <directory> <bucket> <port>`.
// Prints the port when it is ready, and ends with its standard input.

import S3rver from "@20minutes/s3rver";
import process from "node:process";

const [directory, bucket, port] = process.argv.slice(2);
const server = new S3rver({
  address: "127.0.0.1",
  port: Number(port),
  silent: true,
  directory,
  configureBuckets: [{ name: bucket }],
});
console.log((await server.run()).port);
process.stdin.on("end", () => process.exit(0)).resume();
