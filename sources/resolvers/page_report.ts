// What a page has in place of a player that a shape recognises.
// Example: "no known player: 2 iframes (a.test, b.test), 1 packed script that unpacked to no link, a Cloudflare challenge".
import { isObject, type Value } from "../script/values.ts";
import { frameUrls } from "./frames.ts";
import type { PlayerPage } from "./player_page.ts";
import { videoElements } from "./video_elements.ts";

/** What the shapes noticed. */
export interface Noticed {
  /** Media of advertisements and trailers. */
  readonly decoys: number;
  /** The DRM system of sources that were left out. */
  readonly protectedBy: string | null;
  /** URLs without an extension whose responses are not media. */
  readonly notMedia: number;
  /** Why a request of the page failed. */
  readonly failure: string | null;
}

const MAX_HOSTS = 4;
const CHALLENGE = /just a moment\.\.\.|cf-challenge|cf_chl_|challenge-platform|attention required! \| cloudflare/i;
const CAPTCHA = /g-recaptcha|h-captcha|hcaptcha\.|cf-turnstile|captcha/i;
const REMOVED =
  /(?:file|video|page|media)\b[^<.]{0,40}\b(?:deleted|removed|not found|no longer (?:available|exists?)|does(?:n't| not) exist|expired|unavailable)/i;

export function isChallenge({ html }: PlayerPage): boolean {
  return CHALLENGE.test(html);
}

export function describePage(page: PlayerPage, noticed: Noticed): string {
  const { html, tags, packedBlocks, unpackedBlocks } = page;
  const frames = [...frameUrls(page).keys()];
  const scripts = tags.filter(({ name, attributes }) => name === "script" && attributes.has("src"));
  const setups =
    page.plain.record.calls.filter(({ path, args }) => /\.(?:setup|src|loadSource)$/.test(path) && args.some(isUnknown))
      .length;
  const found = [
    counted(frames.length, "iframe", hostsOf(frames)),
    counted(unpackedBlocks, "packed script", "", " that unpacked to no link"),
    counted(packedBlocks - unpackedBlocks, "packed script", "", " that cannot be unpacked"),
    counted(videoElements(tags, page.work).length, "<video> element", "", " without a usable source"),
    counted(setups, "player set-up", "", " with a URL that only running the script gives"),
    counted(noticed.decoys, "media URL", "", " of an advertisement, trailer or preview"),
    counted(noticed.notMedia, "URL", "", " that is not media"),
    noticed.protectedBy === null ? "" : `sources with DRM (${noticed.protectedBy})`,
    noticed.failure === null ? "" : `a request that failed (${noticed.failure})`,
    CHALLENGE.test(html) ? "a Cloudflare challenge" : CAPTCHA.test(html) ? "a captcha" : "",
    tags.some(({ name, attributes }) => name === "input" && attributes.get("type") === "password")
      ? "a login form"
      : "",
    REMOVED.test(html.slice(0, 50_000)) ? "a text that the video was removed" : "",
    counted(scripts.length, "script file", hostsOf(scripts.map(({ attributes }) => attributes.get("src")!), page.url)),
  ].filter((part) => part !== "");
  return `no known player: ${found.length === 0 ? emptiness(html) : found.join(", ")}`;
}

function counted(count: number, what: string, hosts: string, more = ""): string {
  return count === 0
    ? ""
    : `${count} ${what}${count === 1 ? "" : "s"}${hosts}${count === 1 ? more : more.replace(/ is /, " are ")}`;
}

function hostsOf(urls: readonly string[], base?: string): string {
  const hosts = new Set(
    urls.filter((url) => URL.canParse(url, base)).map((url) => new URL(url, base).host).filter((host) => host !== ""),
  );
  if (hosts.size === 0) return "";
  const more = hosts.size - MAX_HOSTS;
  return ` (${[...hosts].slice(0, MAX_HOSTS).join(", ")}${more > 0 ? ` and ${more} more` : ""})`;
}

function isUnknown(value: Value): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    (!isObject(value) ||
      Object.values(value).some((inner) =>
        typeof inner === "object" && inner !== null && !Array.isArray(inner) && !isObject(inner)
      ));
}

function emptiness(html: string): string {
  return html.trim() === "" ? "the page is empty" : "only text";
}
