// One signature per line, each awaited before the next, as a simple loop does. Runs on: workerd.
import { signedLink } from "./hmac_link.ts";

export default {
  async fetch(request: Request): Promise<Response> {
    const { text, link } = await signedLink(request);
    const lines: string[] = [];
    for (const line of text.split("\n")) {
      lines.push(line.startsWith("#") || line.trim() === "" ? line : await link(line.trim()));
    }
    return new Response(lines.join("\n"), { headers: { "content-type": "application/vnd.apple.mpegurl" } });
  },
};
