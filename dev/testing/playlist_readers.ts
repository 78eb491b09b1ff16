import { playlistFingerprint } from "../../cf-proxy/failover/playlist_fingerprint.ts";
import { parsePlaylist } from "../../core/hls/playlist.ts";
import { rewritePlaylist } from "../../core/hls/rewrite.ts";

const BASE = new URL("https://cdn.test/v/1/m.m3u8");
const TAIL = "exp=4000000000&sc=2&sig=k1.AAAAAAAAAAAAAAAAAAAAAA";

/** Every function that reads a source's playlist, for tests and benchmarks of its cost. */
export const PLAYLIST_READERS: Readonly<Record<string, (text: string) => unknown>> = {
  rewrite: rewriteInScope("https://cdn.test/v/1/"),
  rewrite_out_of_scope: rewriteInScope(null),
  parse: (text) => parsePlaylist(text, BASE),
  fingerprint: playlistFingerprint,
};

function rewriteInScope(scope: string | null) {
  return (text: string) =>
    rewritePlaylist(text, {
      base: BASE,
      proxyUrl: "https://worker.test/proxy",
      policy: { ownHosts: ["worker.test"] },
      parent: { scope, tail: TAIL },
      sign: () => Promise.resolve(TAIL),
    });
}
