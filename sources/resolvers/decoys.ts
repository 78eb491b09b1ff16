// Media that a page shows beside the video: advertisements, trailers, previews, thumbnails. Recognised by names and by URLs.
// Example: isDecoyName("trailerUrl") → true; isDecoyUrl("https://cdn.test/ads/1.mp4") → true.

const WORDS = new Set(
  ("ad ads adv advert adverts advertise advertising advertisement advertisements adbreak adbreaks adschedule adtag adtagurl vast vmap ima " +
    "preroll prerolls midroll midrolls postroll postrolls roll bumper sponsor sponsors promo promos promotion banner banners popup popunder " +
    "trailer trailers teaser teasers preview previews thumb thumbs thumbnail thumbnails poster posters image images img logo icon icons " +
    "sprite sprites storyboard storyboards related recommended recommendations recommendation similar upnext next prev previous intro " +
    "outro background backdrop bg watermark skin cover avatar favicon screenshot screenshots share sharing social")
    .split(" "),
);
const URL_DIRECTORIES = new Set(
  "ad ads advert adverts advertising trailer trailers teaser teasers preroll prerolls promo promos".split(" "),
);
const URL_HOSTS = new Set("ad ads adserver adserve vast preroll".split(" "));
const URL_NAMES = new Set(
  "ad ads advert trailer teaser preview preroll midroll postroll promo bumper thumb thumbs thumbnails".split(" "),
);
const MAX_NAME = 200;

/** Whether a property, a variable, an id or a class names such media. */
export function isDecoyName(name: string): boolean {
  return wordsOf(name.slice(0, MAX_NAME)).some((word) => WORDS.has(word));
}

/** Whether the host, a directory or the end of the file's name says so. */
export function isDecoyUrl(url: string): boolean {
  const { hostname, pathname } = new URL(url);
  if (URL_HOSTS.has(hostname.split(".")[0]!)) return true;
  const parts = pathname.toLowerCase().split("/");
  const file = parts.pop()!.replace(/\.[a-z0-9]{1,5}$/, "");
  if (parts.some((part) => URL_DIRECTORIES.has(part))) return true;
  const words = file.slice(0, MAX_NAME).split(/[^a-z]+/).filter((word) => word !== "" && word !== "p");
  return URL_NAMES.has(words.at(-1) ?? "");
}

/** The words of `adTagUrl`, `pre-roll` or `player_ads`. */
function wordsOf(name: string): readonly string[] {
  const text = name.replace(/__next_/gi, ""); // a framework's
  return text.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase().split(/[^a-z]+/);
}
