/** Keys that a playlist contains as `data:` URLs (RFC 2397). Nothing is fetched. Example: `await readDataUrl("data:;base64,AAEC")`. */
import { KeepstreamError } from "../../core/errors.ts";

export function isDataUrl(url: string): boolean {
  return url.startsWith("data:");
}

/** `fetch` decodes it in this process: base64 or percent-encoding, as browsers do. */
export async function readDataUrl(url: string): Promise<Uint8Array<ArrayBuffer>> {
  if (!isDataUrl(url)) throw new KeepstreamError("unsupported", "not a data: URL");
  try {
    return await (await fetch(url)).bytes();
  } catch (cause) {
    throw new KeepstreamError("unsupported", "a data: URL of the playlist cannot be decoded", { cause });
  }
}
