// Synthetic site: a title's page, and an episode whose servers are base64 options, in every spelling of real sites.
import { pages, type Site } from "./sites.ts";

export interface MirrorOption {
  readonly label: string;
  readonly value: string;
}

export const base64 = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** Every variant of a server option; the last two have no iframe. */
export const MIRROR_OPTIONS: readonly MirrorOption[] = [
  { label: "Pilih Server", value: "" },
  { label: "720p [1]", value: base64(`<iframe src="https://vidhidepro.test/v/one" allowfullscreen></iframe>`) },
  { label: "480p [2]", value: base64(`<IFRAME SRC='//player.test/e/two?a=1&amp;b=2' FRAMEBORDER=0></IFRAME>`) },
  { label: "Lazy 360p", value: base64(`<iframe src="about:blank" data-src="https://lazy.test/e/3"></iframe>`) },
  { label: "1080p", value: base64(`<p><iframe width=640 src=https://plain.test/e/four></iframe>`) },
  { label: "720p [5]", value: base64(`<iframe src="https://second.test/v/five"></iframe>`) },
  { label: "Broken", value: "!!! this is not base64 !!!" },
  { label: "Text only", value: base64("<b>soon</b>") },
];

export function mirrorPage(options: readonly MirrorOption[]): string {
  const list = options.map(({ label, value }) => `<option value="${value}" data-index="1">\n  ${label} </option>`).join(
    "",
  );
  return `<!doctype html><html><body><h1>Episode</h1><select class="mirror" name="mirror">${list}</select></body></html>`;
}

/** A list of episodes, newest first, with entries other than plain numbers. */
export function episodeListPage(episodes: readonly { readonly label: string; readonly href: string }[]): string {
  const items = episodes.map(({ label, href }) =>
    `<li data-index="0"><span class="lchx"><a href="${href}"><span>${label}</span></a></span></li>`
  );
  return `<!doctype html><html><body><div id="daftarepisode"><ul>${items.join("")}</ul></div></body></html>`;
}

export function selectBase64Site(options: readonly MirrorOption[] = MIRROR_OPTIONS): Site {
  return pages({
    "/anime/some-title/": episodeListPage([
      { label: "Some Title 100 Episode 2 [END]", href: "/some-title-episode-2/" },
      { label: "Some Title 100 Episode 1", href: "/some-title-episode-1/" },
    ]),
    "/some-title-episode-1/": mirrorPage(options),
    "/some-title-episode-2/": mirrorPage([]),
  });
}
