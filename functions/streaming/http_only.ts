// Nothing but http(s) addresses reaches a player or a page: asked where a list is saved, where it is read from the database, whose
// older rows may hold anything, and where the response is made. Runs on: Deno, edge runtime.
import { parseHttpUrl } from "../../core/http_url.ts";
import type { SourceServer } from "../../sources/source_list.ts";

const isHttp = (url: string) => parseHttpUrl(url) !== null;

/** Without a server whose own page is none, without media and subtitles that are none. */
export function httpOnly<S extends SourceServer>(servers: readonly S[]): S[] {
  return servers.filter(({ embed_url }) => isHttp(embed_url)).map((server) => {
    const subtitles = server.subtitles.filter(({ url }) => isHttp(url));
    if (server.video_url === null || isHttp(server.video_url)) return { ...server, subtitles };
    return { ...server, subtitles, video_url: null, code: server.code ?? "policy_denied" };
  });
}
