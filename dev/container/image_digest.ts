/**
 * Pins the images of a Dockerfile: asks the registry for the digest of each tag (OCI distribution API, with anonymous tokens) and
 * writes `name:tag@sha256:…`. Example: `pinImages(text, { fetch, registry })`.
 */
const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");
const TIMEOUT_MS = 20_000;

export interface Registry {
  readonly fetch: typeof fetch;
  /** For example `https://images.test`. */
  readonly url: string;
}

/** The text with a digest after every tag that a FROM names. Existing digests are looked up again. */
export async function pinImages(text: string, registry: Registry): Promise<string> {
  let pinned = text;
  for (const [line, image] of text.matchAll(/^FROM (\S+)/gm)) {
    const [reference] = image!.split("@");
    pinned = pinned.replace(line, `FROM ${reference}@${await digestOf(reference!, registry)}`);
  }
  return pinned;
}

/** `reference` is `[owner/]name:tag`; without an owner it is one of the registry's official images. */
async function digestOf(reference: string, registry: Registry): Promise<string> {
  const [name, tag] = reference.split(":");
  if (!tag) throw new Error(`${reference}: name an exact tag`);
  const path = name!.includes("/") ? name! : `library/${name}`;
  const url = `${registry.url}/v2/${path}/manifests/${tag}`;
  const response = await fetchManifest(url, registry);
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`${reference}: the registry returned ${response.status}`);
  }
  const bytes = await crypto.subtle.digest("SHA-256", await response.arrayBuffer());
  const digest = `sha256:${new Uint8Array(bytes).toHex()}`;
  const announced = response.headers.get("docker-content-digest");
  if (announced !== null && announced !== digest) {
    throw new Error(`${reference}: the registry announced ${announced} and sent ${digest}`);
  }
  return digest;
}

async function fetchManifest(url: string, registry: Registry): Promise<Response> {
  const request = (authorization?: string) =>
    registry.fetch(url, {
      headers: { accept: MANIFEST_TYPES, ...(authorization === undefined ? {} : { authorization }) },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }).catch((cause) => {
      throw new Error(`the image registry cannot be reached (${new URL(url).origin}): run this where it can`, {
        cause,
      });
    });
  const response = await request();
  const challenge = response.headers.get("www-authenticate");
  if (response.status !== 401 || challenge === null) return response;
  await response.body?.cancel();
  return await request(`Bearer ${await tokenFor(challenge, registry)}`);
}

/** The anonymous token for the challenge `Bearer realm="…",service="…",scope="…"`. */
async function tokenFor(challenge: string, registry: Registry): Promise<string> {
  const fields = new Map([...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!]));
  const realm = new URL(fields.get("realm") ?? "");
  for (const name of ["service", "scope"]) if (fields.has(name)) realm.searchParams.set(name, fields.get(name)!);
  const response = await registry.fetch(realm, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const body = await response.json() as { token?: string; access_token?: string };
  const token = body.token ?? body.access_token;
  if (!response.ok || token === undefined) throw new Error(`the registry gave no token (${response.status})`);
  return token;
}
