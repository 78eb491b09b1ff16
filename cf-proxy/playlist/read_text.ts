// Reads playlists, MPDs and JSON into memory, up to a size and within a time; and the first bytes of what may be a playlist.
import { looksLikeMpd } from "../../core/dash/levels.ts";
import { looksLikePlaylist } from "../../core/hls/playlist.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { badGateway, type Problem, sourceTimeout } from "../http/problem.ts";

export const MAX_PLAYLIST_BYTES = 4 * 1024 * 1024;
const READ_BYTES = 256 * 1024;
/** A byte order mark, some white space and #EXTM3U; enough of an encrypted segment to contain a control character. */
const SNIFF_BYTES = 64;
/** What no text contains. */
// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u0008\u000b\u000e-\u001a\u001c-\u001f]/;
/** An XML declaration, a comment of the packager's and the start of the root element. */
const SNIFF_XML_BYTES = 2048;

/** The whole body as text. Unlike media it has a timeout, because nothing is served until it is complete. */
export async function readText(
  response: Response,
  timeoutMs: number,
  maxBytes = MAX_PLAYLIST_BYTES,
): Promise<Result<string, Problem>> {
  const timeout = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => timeout.resolve(undefined), timeoutMs);
  try {
    const text = await Promise.race([readWhole(response, maxBytes), timeout.promise]);
    if (text === null) return err(badGateway("too_large", `the source's text is larger than ${maxBytes / 1024} KiB`));
    if (text === undefined) return err(sourceTimeout(`the source did not send its playlist within ${timeoutMs} ms`));
    return ok(text);
  } catch {
    const encoding = response.headers.get("content-encoding");
    if (encoding !== null) {
      return err(
        badGateway("encoding_damaged", `the source's text is incomplete, or not ${encoding} as its header states`),
      );
    }
    return err(badGateway("source_unreachable", "the source disconnected before the end of its playlist"));
  } finally {
    clearTimeout(timer);
  }
}

/** Null if it is larger than `maxBytes`. */
async function readWhole(response: Response, maxBytes: number): Promise<string | null> {
  const length = response.headers.get("content-length");
  if (length !== null && !response.headers.has("content-encoding")) {
    // The runtime enforces Content-Length, so the body cannot be larger; text() needs no JavaScript per chunk.
    if (Number(length) <= maxBytes) return await response.text();
    await response.body?.cancel();
    return null;
  }
  return response.body === null ? "" : await readLimited(response.body, maxBytes);
}

async function readLimited(body: ReadableStream, maxBytes: number): Promise<string | null> {
  const reader = body.getReader({ mode: "byob" });
  const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: false });
  let text = "";
  let length = 0;
  for (;;) {
    const { done, value } = await reader.readAtLeast(READ_BYTES, new Uint8Array(READ_BYTES));
    length += value?.byteLength ?? 0;
    if (length > maxBytes) {
      await reader.cancel();
      return null;
    }
    text += decoder.decode(value ?? new Uint8Array(), { stream: !done });
    if (done) return text;
  }
}

/** Reads the first bytes to detect a playlist, an MPD or a text; the returned body begins with them again. */
export async function sniff(
  response: Response,
): Promise<{ readonly isPlaylist: boolean; readonly isPage: boolean; readonly body: ReadableStream }> {
  const reader = response.body!.getReader();
  const head: Uint8Array[] = [];
  let length = 0;
  let text = "";
  while (length < SNIFF_BYTES || (length < SNIFF_XML_BYTES && /^\uFEFF?\s*</.test(text))) {
    const { done, value } = await reader.read();
    if (done) break;
    head.push(value);
    length += value.byteLength;
    if (length >= SNIFF_BYTES) text = decode(head).slice(0, SNIFF_XML_BYTES);
  }
  reader.releaseLock();
  text ||= decode(head);
  const isPlaylist = looksLikePlaylist(text.slice(0, SNIFF_BYTES)) || looksLikeMpd(text);
  const { readable, writable } = new IdentityTransformStream();
  const rest = response.body!;
  // Rejects if the viewer disconnects; the source is cancelled then, and there is no response to report it in.
  (async () => {
    const writer = writable.getWriter();
    for (const chunk of head) await writer.write(chunk);
    writer.releaseLock();
    await rest.pipeTo(writable);
  })().catch(() => {});
  const isPage = !CONTROL.test(text) && !/^\uFEFF?WEBVTT/.test(text);
  return { isPlaylist, isPage, body: readable };
}

function decode(chunks: readonly Uint8Array[]): string {
  const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
  return chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("") + decoder.decode();
}
