// The page that an embed page frames or redirects to, if it is clear which one is the player.
// Example: <iframe src="/player?id=1" allowfullscreen></iframe> → its URL. Of several frames, any may be an advertisement.
import { type HttpUrl, parseHttpUrl } from "../../core/http_url.ts";
import { frameUrl } from "../page/iframe.ts";
import type { Tag } from "../page/tags.ts";
import { isDecoyName } from "./decoys.ts";
import type { PlayerPage } from "./player_page.ts";
import { isDecoyElement } from "./video_elements.ts";

/** The only frame that is not an advertisement, or the only one that may fill the screen; otherwise a redirect by script or <meta>. */
export function framedPlayer(page: PlayerPage): HttpUrl | null {
  const frames = frameUrls(page);
  if (frames.size === 1) return [...frames.keys()][0]!;
  if (frames.size === 0) return scriptFrame(page) ?? statedPlayer(page) ?? redirect(page);
  const fullscreen = [...frames].filter(([, tag]) => mayFillScreen(tag));
  return fullscreen.length === 1 ? fullscreen[0]![0] : null;
}

/** Of frames that are shown and may be players. */
export function frameUrls({ tags, plain, packed, url }: PlayerPage): ReadonlyMap<HttpUrl, Tag> {
  const frames = new Map<HttpUrl, Tag>();
  for (const tag of [...tags, ...plain.tags, ...packed.tags]) {
    if ((tag.name !== "iframe" && tag.name !== "embed") || isDecoyElement(tag) || isHidden(tag)) continue;
    const target = frameUrl(tag, url);
    if (target !== null && target !== url && !frames.has(target)) frames.set(target, tag);
  }
  return frames;
}

/** `iframe.src = url`. */
function scriptFrame({ plain, packed, url }: PlayerPage): HttpUrl | null {
  for (const { path, value, target } of [...plain.record.assignments, ...packed.record.assignments]) {
    if (
      /(?:frame|player|embed)\w*\.src$/i.test(`${target}${path}`) && typeof value === "string" &&
      !isDecoyName(`${path} ${target}`)
    ) {
      return parseHttpUrl(value, url);
    }
  }
  return null;
}

/** `twitter:player`, `og:video` with a page, the `embedUrl` of a VideoObject. */
function statedPlayer({ tags, url }: PlayerPage): HttpUrl | null {
  for (const { name, attributes, text } of tags) {
    const property = (attributes.get("property") ?? attributes.get("name") ?? attributes.get("itemprop") ?? "")
      .toLowerCase();
    const isStated = (name === "meta" || name === "link") &&
      /^(?:twitter:player|og:video(?::url|:secure_url)?|embedurl)$/.test(property);
    const isLinkedData = name === "script" && /ld\+json/i.test(attributes.get("type") ?? "");
    const reference = isStated
      ? attributes.get("content") ?? attributes.get("href")
      : isLinkedData
      ? /"@type"\s{0,4}:\s{0,4}"VideoObject"/.test(text) && !/"trailer"\s{0,4}:/.test(text)
        ? /"embedUrl"\s{0,4}:\s{0,4}"([^"]{1,2000})"/.exec(text)?.[1]?.replaceAll("\\/", "/")
        : undefined
      : undefined;
    const target = reference === undefined ? null : parseHttpUrl(reference, url);
    if (target !== null && target !== url) return target;
  }
  return null;
}

/** Not to the site's start page: that is where a page sends viewers who open it outside of a frame. */
function redirect({ tags, plain, url }: PlayerPage): HttpUrl | null {
  const { assignments, calls } = plain.record;
  const refresh = tags.find(({ name, attributes }) =>
    name === "meta" && /^refresh$/i.test(attributes.get("http-equiv") ?? "")
  );
  const references = [
    /^\s*\d+\s*[;,]\s*url\s*=\s*["']?([^"']+)/i.exec(refresh?.attributes.get("content") ?? "")?.[1],
    ...assignments.filter(({ path }) => /^(?:document\.)?location(?:\.href)?$/.test(path)).map(({ value }) => value),
    ...calls.filter(({ path }) => /^(?:document\.)?location\.(?:replace|assign)$/.test(path)).map(({ args }) =>
      args[0]
    ),
  ];
  for (const reference of references) {
    const target = typeof reference === "string" ? parseHttpUrl(reference, url) : null;
    if (target !== null && target !== url && new URL(target).pathname !== "/") return target;
  }
  return null;
}

function mayFillScreen({ attributes }: Tag): boolean {
  return attributes.has("allowfullscreen") || /fullscreen/i.test(attributes.get("allow") ?? "") ||
    attributes.has("webkitallowfullscreen");
}

function isHidden({ attributes }: Tag): boolean {
  const tiny = ["width", "height"].some((name) => /^[01](?:px)?$/.test(attributes.get(name) ?? ""));
  return tiny || attributes.has("hidden") ||
    /display\s*:\s*none|visibility\s*:\s*hidden/i.test(attributes.get("style") ?? "");
}
