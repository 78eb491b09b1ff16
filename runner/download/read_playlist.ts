/** Fetches and parses one playlist. Example: `const { playlist, url } = await readPlaylist("https://cdn.test/m.m3u8", request)`. */
import { KeepstreamError } from "../../core/errors.ts";
import { type MultivariantPlaylist, parsePlaylist, type Playlist } from "../../core/hls/playlist.ts";
import { redactUrl } from "../../core/redact.ts";
import { retry } from "../../core/retry.ts";
import { type MediaRequest, openMedia } from "../network/guarded_fetch.ts";
import { MAX_SEGMENT_DELAY_MS, PLAYLIST_FETCH } from "../retry_policies.ts";
import { isHlsType } from "./sniff.ts";

const MAX_PLAYLIST_BYTES = 8 * 1024 * 1024;
const MAX_SEGMENTS = 20_000;
const BODY_TIMEOUT_MS = 20_000;
/** Codes that may pass. */
const TRANSIENT = new Set(["network", "timeout", "upstream_5xx", "rate_limited"]);

/** `url` is the playlist's URL after redirects. */
export type ReadPlaylist = { readonly playlist: Playlist; readonly url: string };

/** `parent` is the multivariant playlist that lists this one. */
export async function readPlaylist(
  url: string,
  request: MediaRequest,
  parent?: MultivariantPlaylist,
): Promise<ReadPlaylist> {
  return await retry(() => readOnce(url, request, parent), PLAYLIST_FETCH, {
    signal: request.signal,
    retryable: (error) => error instanceof KeepstreamError && TRANSIENT.has(error.code),
    delayFor: (error) => requestedMs(error as KeepstreamError),
  });
}

/** Retry-After, up to a limit; undefined: the policy's delay. */
function requestedMs({ retryAfterSeconds }: KeepstreamError): number | undefined {
  return retryAfterSeconds === undefined ? undefined : Math.min(retryAfterSeconds * 1000, MAX_SEGMENT_DELAY_MS);
}

async function readOnce(
  requestedUrl: string,
  request: MediaRequest,
  parent: MultivariantPlaylist | undefined,
): Promise<ReadPlaylist> {
  const { response, url } = await openMedia(requestedUrl, request);
  const text = await readCapped(response, request.signal);
  const parsed = parsePlaylist(text, new URL(url), {
    maxSegments: MAX_SEGMENTS,
    typedAsHls: isHlsType(response.headers.get("content-type")),
    ...(parent ? { variables: parent.variables } : {}),
  });
  if (parsed.ok) return { playlist: parsed.value, url };
  const { code, reason } = parsed.error;
  throw new KeepstreamError(code === "too_large" ? "too_large" : "unsupported", `${redactUrl(url)}: ${reason}`);
}

/** Counts unpacked bytes. */
export async function readCapped(response: Response, signal: AbortSignal): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return "";
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void reader.cancel().catch(() => {});
  }, BODY_TIMEOUT_MS);
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (late) throw new KeepstreamError("timeout", "the playlist did not arrive in time");
      if (done) return text + decoder.decode();
      bytes += value.length;
      if (bytes > MAX_PLAYLIST_BYTES) {
        throw new KeepstreamError("too_large", `a playlist of more than ${MAX_PLAYLIST_BYTES} bytes`);
      }
      text += decoder.decode(value, { stream: true });
    }
  } catch (cause) {
    if (cause instanceof KeepstreamError) throw cause;
    signal.throwIfAborted();
    throw new KeepstreamError("network", "the connection broke inside the playlist", { cause });
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => {});
  }
}
