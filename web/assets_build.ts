// Builds the watch page's static files. wrangler.jsonc runs it before a deployment, dev/emulators/workerd/workerd.ts for every
// local run. Example: deno run -A web/assets_build.ts
import { build } from "esbuild";

const HERE = new URL("./", import.meta.url);

/** Copies public/ to `out` and bundles the page's script with hls.js. */
export async function buildAssets(out: string): Promise<void> {
  await Deno.mkdir(out, { recursive: true });
  for await (const entry of Deno.readDir(new URL("public/", HERE))) {
    if (entry.isFile) await Deno.copyFile(new URL(`public/${entry.name}`, HERE), `${out}/${entry.name}`);
  }
  await build({
    entryPoints: [new URL("watch/watch.ts", HERE).pathname],
    outfile: `${out}/watch.js`,
    bundle: true,
    format: "esm",
    minify: true,
    target: "es2022",
    absWorkingDir: new URL("../", HERE).pathname,
    logLevel: "silent",
  });
}

if (import.meta.main) await buildAssets(new URL("dist/", HERE).pathname);
