// Removes URLs that are not http(s). Applied when a list is saved, when it is read back (older rows were not checked) and when a
// response is built, so that no other scheme reaches a player or a page. Runs on: Deno, edge runtime.
import { parseHttpUrl } from "../../core/http_url.ts";
import type { SourceServer } from "../../sources/source_list.ts";

const isHttp = (url: string) => parseHttpUrl(url) !== null;

/** Drops servers with such an embed page; of the others, drops such media and subtitle URLs. */
export function httpOnly<S extends SourceServer>(servers: readonly S[]): S[] {
  return servers.filter(({ embed_url }) => isHttp(embed_url)).map((server) => {
    const subtitles = server.subtitles.filter(({ url }) => isHttp(url));
    if (server.video_url === null || isHttp(server.video_url)) return { ...server, subtitles };
    return { ...server, subtitles, video_url: null, code: server.code ?? "policy_denied" };
  });
}
