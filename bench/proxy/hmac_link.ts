// Shared by both ways of signing line by line: the playlist's text, and a function that signs one URL. Runs on: workerd.
export async function signedLink(request: Request): Promise<{ text: string; link: (uri: string) => Promise<string> }> {
  const own = new URL(request.url);
  const base = own.searchParams.get("url")!;
  const text = await (await fetch(base)).text();
  return { text, link: await signer(own.origin, base) };
}

export async function signer(origin: string, base: string): Promise<(uri: string) => Promise<string>> {
  const raw = new TextEncoder().encode("a key of thirty-two bytes or more");
  const key = await crypto.subtle.importKey("raw", raw, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const encoder = new TextEncoder();
  return async (uri) => {
    const href = new URL(uri, base).href;
    const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(`4000000000\n${href}`)));
    const sig = btoa(String.fromCharCode(...mac));
    return `${origin}/proxy?url=${encodeURIComponent(href)}&exp=4000000000&sig=${sig}`;
  };
}
