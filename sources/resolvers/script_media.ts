// Finds media and subtitles in a player's script. Example: `tracks: [{ file: "/en.vtt", label: "English" }]`.
// Runs on: Deno, edge runtime.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import type { FoundSubtitle } from "../source_list.ts";
import { propertyStrings } from "../page/script_strings.ts";

const SUBTITLE = /\.(?:vtt|srt|ass)$/i;
/** A label belongs to the preceding file in the same object. */
const MAX_LABEL_DISTANCE = 200;

export interface ScriptMedia {
  /** `file` and `src` values except subtitles, in the order of the script. */
  readonly urls: readonly HttpUrl[];
  readonly subtitles: readonly FoundSubtitle[];
}

export function scriptMedia(script: string, base: string): ScriptMedia {
  const urls = new Set<HttpUrl>();
  const subtitles = new Map<string, FoundSubtitle>();
  let last: { readonly url: string; readonly end: number } | null = null;
  for (const { name, value, at } of propertyStrings(script, ["file", "src", "label", "srclang"])) {
    if (name === "label" || name === "srclang") {
      const subtitle = last !== null && at - last.end < MAX_LABEL_DISTANCE ? subtitles.get(last.url) : undefined;
      if (subtitle) subtitles.set(subtitle.url, { ...subtitle, [name === "label" ? "label" : "language"]: value });
      continue;
    }
    const url = parseHttpUrl(value, base);
    if (url === null) continue;
    if (!isSubtitle(url)) urls.add(url);
    else if (!subtitles.has(url)) subtitles.set(url, { url });
    last = { url, end: at + value.length };
  }
  return { urls: [...urls], subtitles: [...subtitles.values()] };
}

function isSubtitle(url: string): boolean {
  return SUBTITLE.test(new URL(url).pathname);
}
