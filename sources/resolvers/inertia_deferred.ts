// Deferred props of Inertia: the page object names them by group, and the client fetches each group with a partial reload.
// Example: { "deferredProps": { "default": ["video"] } } → GET with X-Inertia-Partial-Data: video → { "props": { "video": { … } } }.
import type { PageClient } from "../fetch/page_client.ts";
import { isObject, type ScriptObject } from "../script/values.ts";
import { MediaFinder } from "./media.ts";
import type { PlayerPage } from "./player_page.ts";

const MAX_GROUPS = 3;
const HEADER_VALUE = /^[\x20-\x7e]{0,500}$/;

export async function deferredProps(
  state: ScriptObject | null,
  page: PlayerPage,
  pages: PageClient,
): Promise<MediaFinder | null> {
  if (state === null || !isObject(state.deferredProps)) return null;
  const finder = new MediaFinder(page, { isPageState: true });
  for (const names of Object.values(state.deferredProps).slice(0, MAX_GROUPS)) {
    const partial = Array.isArray(names) ? names.filter((name) => typeof name === "string").join(",") : "";
    const [component, version] = [String(state.component ?? ""), String(state.version ?? "")];
    if (partial === "" || ![partial, component, version].every((value) => HEADER_VALUE.test(value))) continue;
    const reload = await pages.json(page.url, {
      headers: {
        "x-inertia": "true",
        "x-inertia-version": version,
        "x-inertia-partial-component": component,
        "x-inertia-partial-data": partial,
        "x-requested-with": "XMLHttpRequest",
        accept: "text/html, application/xhtml+xml",
        referer: page.url,
      },
    });
    if (isObject(reload as ScriptObject)) finder.add((reload as ScriptObject).props, "props");
    if (!finder.isEmpty) break;
  }
  return finder;
}
