// Rewriting alone, repeated on one text that was fetched once: ?way=proxy|hmac&times=…. Runs on: workerd.
import { rewritePlaylist } from "../../core/hls/rewrite.ts";
import { signer } from "./hmac_link.ts";

export default {
  async fetch(request: Request): Promise<Response> {
    const { origin, searchParams } = new URL(request.url);
    const base = new URL(searchParams.get("url")!);
    const bytes = await (await fetch(base)).arrayBuffer();
    const link = await signer(origin, base.href);
    const options = {
      base,
      proxyUrl: `${origin}/proxy`,
      policy: { allowedOrigins: [base.origin] },
      parent: { scope: new URL("./", base).href, tail: "exp=4000000000&sc=2&sig=k1.AAAAAAAAAAAAAAAAAAAAAA" },
      sign: () => Promise.reject(new Error("not expected: all URLs are in scope")),
    };
    let length = 0;
    for (let i = 0; i < Number(searchParams.get("times")); i++) {
      const text = new TextDecoder().decode(bytes);
      if (searchParams.get("way") === "hmac") {
        const lines = text.split("\n").map((line) => line.startsWith("#") || line === "" ? line : link(line));
        length += (await Promise.all(lines)).join("\n").length;
      } else {
        const rewritten = await rewritePlaylist(text, options);
        if (!rewritten.ok) throw new Error(rewritten.error.reason);
        length += rewritten.value.length;
      }
    }
    return new Response(String(length));
  },
};
