// A generator of pages for every shape of every resolver. Example: SHAPE_PAGES["jwplayer"]["setup-file"](VARIANTS[0]).
import { packScript } from "../packed_page.ts";
import { base64 } from "../select_base64_site.ts";
import type { Site } from "../sites.ts";
import { INERTIA_PAGES } from "./inertia.ts";
import { JSON_API_PAGES } from "./json_api.ts";
import { JWPLAYER_PAGES, JWPLAYER_SCRIPTS } from "./jwplayer.ts";
import { METADATA_PAGES } from "./metadata.ts";
import { hls, inScript, type MakePage, type MakeScript, mp4 } from "./page.ts";
import { PLAYER_FILE_PAGES, PLAYER_FILE_SCRIPTS } from "./player_file.ts";
import { PLYR_PAGES, PLYR_SCRIPTS } from "./plyr.ts";
import type { Variant } from "./variant.ts";

/** Packed, packed twice, or packed in a script that is decoded and run. */
function packed(script: string, v: Variant): string {
  const once = packScript(script, { radix: v.radix, tail: v.radix === 36 ? "short" : "full" });
  if (v.radix === 10) return packScript(once, { radix: 62 });
  return v.radix === 36 ? `eval(atob(${v.js(base64(once))}))` : once;
}

function inPacked(family: string, scripts: Readonly<Record<string, MakeScript>>): Readonly<Record<string, MakePage>> {
  return Object.fromEntries(
    Object.entries(scripts).map(([name, make]): [string, MakePage] => [`${family}/${name}`, (v) => {
      const { script, url, kind } = make(v);
      const media = () => new Response("", { headers: { "content-type": "video/mp4" } });
      const sites: Readonly<Record<string, Site>> = name === "hidden-link"
        ? { "cdn.test/get_video": media, "player.test/get_video": media }
        : {};
      return { html: inScript(packed(script, v), v), url, kind, sites };
    }]),
  );
}

const PACKED_PAGES: Readonly<Record<string, MakePage>> = {
  links(v) {
    const link = v.link("/hls2/master.m3u8");
    const links = { hls4: "/stream/x/master.m3u8", hls3: "https://other.test/x/master.txt", hls2: link.reference };
    const options = `{sources:[{file:links.hls4||links.hls3||links.hls2,type:"hls"}],image:"https://decoy.test/p.mp4"}`;
    return {
      html: inScript(packed(`var links=${v.js(links)};jwplayer("vplayer").setup(${options});`, v), v),
      ...hls(link),
    };
  },
  ...inPacked("jwplayer", JWPLAYER_SCRIPTS),
  ...inPacked("plyr", PLYR_SCRIPTS),
  ...inPacked("player-file", PLAYER_FILE_SCRIPTS),
  "added-elements"(v) {
    const link = v.link("/v/ep1.mp4");
    const markup = `<video controls ${v.attributes({ src: link.reference })}></video>`;
    return { html: inScript(packed(`document.write(${v.js(markup)})`, v), v), ...mp4(link) };
  },
};

export const SHAPE_PAGES: Readonly<Record<string, Readonly<Record<string, MakePage>>>> = {
  "inertia-page": INERTIA_PAGES,
  "packed-player": PACKED_PAGES,
  jwplayer: JWPLAYER_PAGES,
  plyr: PLYR_PAGES,
  "player-file": PLAYER_FILE_PAGES,
  "json-api": JSON_API_PAGES,
  "page-metadata": METADATA_PAGES,
};
