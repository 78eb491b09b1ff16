// The usual way to rewrite a playlist, without signatures: split, map, a URL for every line. Runs on: workerd.
export default {
  async fetch(request: Request): Promise<Response> {
    const own = new URL(request.url);
    const base = own.searchParams.get("url")!;
    const text = await (await fetch(base)).text();
    const link = (uri: string) => `${own.origin}/proxy?url=${encodeURIComponent(new URL(uri, base).href)}`;
    const rewritten = text.split("\n").map((line) => {
      if (line.startsWith("#")) return line.replace(/URI="([^"]+)"/, (_whole, uri) => `URI="${link(uri)}"`);
      return line.trim() === "" ? line : link(line.trim());
    }).join("\n");
    return new Response(rewritten, { headers: { "content-type": "application/vnd.apple.mpegurl" } });
  },
};
