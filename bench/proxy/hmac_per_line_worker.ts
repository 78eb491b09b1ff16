// One signature per line, all at once: a proxy that signs every URL on its own. Runs on: workerd.
import { signedLink } from "./hmac_link.ts";

export default {
  async fetch(request: Request): Promise<Response> {
    const { text, link } = await signedLink(request);
    const lines = await Promise.all(
      text.split("\n").map((line) => {
        return line.startsWith("#") || line.trim() === "" ? line : link(line.trim());
      }),
    );
    return new Response(lines.join("\n"), { headers: { "content-type": "application/vnd.apple.mpegurl" } });
  },
};
