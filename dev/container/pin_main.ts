/** `deno task image:pin --registry URL [DOCKERFILE]`: writes the digests of the base images into the runner's Dockerfile, for a release. */
import { CommandError, commandLine } from "../../cli/command_line.ts";
import { DOCKERFILE } from "./dockerfile.ts";
import { pinImages } from "./image_digest.ts";

const USAGE = "usage: deno task image:pin --registry URL [DOCKERFILE]";

const { registry, path } = commandLine(
  { usage: USAGE, options: { registry: { type: "string" } }, positionals: 1 },
  ({ values, positionals }) => {
    if (values.registry === undefined) throw new CommandError(`--registry is missing\n${USAGE}`);
    return { registry: values.registry.replace(/\/$/, ""), path: positionals[0] ?? DOCKERFILE };
  },
);
try {
  const pinned = await pinImages(await Deno.readTextFile(path), { fetch, url: registry });
  await Deno.writeTextFile(path, pinned);
  console.log([...pinned.matchAll(/^FROM \S+/gm)].join("\n"));
} catch (error) {
  console.error((error as Error).message);
  Deno.exit(1);
}
