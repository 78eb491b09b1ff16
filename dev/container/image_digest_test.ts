import assert from "node:assert/strict";
import { DOCKERFILE } from "./dockerfile.ts";

const MANIFEST = JSON.stringify({
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [],
});
const PROGRAM = new URL("pin_main.ts", import.meta.url).pathname;

async function sha256(text: string): Promise<string> {
  return `sha256:${new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex()}`;
}

/** A registry that requires a separate token for every manifest, as public ones do. */
function startRegistry(manifest: (path: string) => Promise<Response> | Response) {
  const requested: string[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request): Response | Promise<Response> => {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === "/token") return Response.json({ token: `for ${searchParams.get("scope")}` });
      const scope = `repository:${pathname.slice("/v2/".length).replace(/\/manifests\/.*/, "")}:pull`;
      if (request.headers.get("authorization") !== `Bearer for ${scope}`) {
        const realm = new URL("/token", request.url);
        const headers = { "www-authenticate": `Bearer realm="${realm}",service="registry.test",scope="${scope}"` };
        return new Response(null, { status: 401, headers });
      }
      assert.match(request.headers.get("accept")!, /oci\.image\.index/);
      requested.push(pathname);
      return manifest(pathname);
    },
  );
  return { requested, url: `http://127.0.0.1:${server.addr.port}`, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** Runs the task on a copy of the Dockerfile. */
async function pin(registry: string, text?: string) {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, text ?? await Deno.readTextFile(DOCKERFILE));
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", PROGRAM, "--registry", registry, path],
  }).output();
  const after = await Deno.readTextFile(path);
  await Deno.remove(path);
  return { code, after, output: new TextDecoder().decode(stderr) };
}

Deno.test("image:pin: known tags → digests in every FROM; again → no change", async () => {
  const digest = await sha256(MANIFEST);
  await using registry = startRegistry(() => new Response(MANIFEST, { headers: { "docker-content-digest": digest } }));
  const { code, after, output } = await pin(registry.url);
  assert.equal(code, 0, output);
  const images = [...after.matchAll(/^FROM (\S+)(.*)$/gm)].map(([, image]) => image!);
  assert.equal(images.length, 2);
  for (const image of images) {
    assert.match(image, new RegExp(`^(denoland/deno:bin-[\\d.]+|debian:trixie-\\d{8}-slim)@${digest}$`));
  }
  assert.match(after, /^FROM denoland\/deno:\S+ AS deno$/m);
  assert.equal(after.replaceAll(`@${digest}`, ""), await Deno.readTextFile(DOCKERFILE));
  assert.match(
    registry.requested.join(),
    /^\/v2\/denoland\/deno\/manifests\/bin-[\d.]+,\/v2\/library\/debian\/manifests\/trixie-/,
  );
  assert.equal((await pin(registry.url, after)).after, after);
});

Deno.test("image:pin: no registry, unknown tag, other manifest → exit 1", async () => {
  const before = await Deno.readTextFile(DOCKERFILE);
  const away = await pin("http://127.0.0.1:1");
  assert.deepEqual([away.code, away.after], [1, before]);
  assert.match(away.output, /^the image registry cannot be reached \(http:\/\/127\.0\.0\.1:1\)/);
  await using unknown = startRegistry(() => new Response(null, { status: 404 }));
  const missing = await pin(unknown.url);
  assert.deepEqual([missing.code, missing.after], [1, before]);
  assert.match(missing.output, /denoland\/deno:bin-[\d.]+: the registry returned 404/);
  const other = await sha256("another manifest");
  await using lying = startRegistry(() => new Response(MANIFEST, { headers: { "docker-content-digest": other } }));
  const wrong = await pin(lying.url);
  assert.deepEqual([wrong.code, wrong.after], [1, before]);
});
