import { asWebVtt } from "../../core/web_vtt.ts";
import { type Problem, problemResponse } from "../http/problem.ts";
import { compressedText } from "../http/compressed_text.ts";
import { responseHeaders } from "../http/headers.ts";
import { readText } from "./read_text.ts";
import type { RewriteContext } from "./playlist.ts";
import type { Result } from "../../core/result.ts";

const MAX_BYTES = 2 * 1024 * 1024;
const VTT = "text/vtt; charset=utf-8";

/** The subtitles of a source as WebVTT, which browsers load in `<track>`. A format that cannot be converted is served unchanged. */
export async function subtitlesResponse(response: Response, { request, link, invocation }: RewriteContext) {
  const options = { type: VTT, maxAgeSeconds: 300 };
  if (request.method === "HEAD") return compressedText(request, "", options);
  const text: Result<string, Problem> = await readText(response, invocation.config.headerTimeoutMs, MAX_BYTES);
  if (!text.ok) return problemResponse(text.error);
  const converted = asWebVtt(text.value);
  if (converted !== null) return compressedText(request, converted, options);
  return new Response(text.value, { headers: responseHeaders(new Response(null, response), link.url) });
}
