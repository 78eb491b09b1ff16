/** `deno task image:pin [--registry URL] [DOCKERFILE]`: writes the digests of the base images into the runner's Dockerfile, for a release. */
import { parseArgs } from "node:util";
import { DOCKERFILE } from "./dockerfile.ts";
import { pinImages } from "./image_digest.ts";

const { values, positionals } = parseArgs({
  args: Deno.args,
  options: { registry: { type: "string", default: "https://registry-1.docker.io" } },
  allowPositionals: true,
});
try {
  const path = positionals[0] ?? DOCKERFILE;
  const pinned = await pinImages(await Deno.readTextFile(path), { fetch, url: values.registry.replace(/\/$/, "") });
  await Deno.writeTextFile(path, pinned);
  console.log([...pinned.matchAll(/^FROM \S+/gm)].join("\n"));
} catch (error) {
  console.error((error as Error).message);
  Deno.exit(1);
}
