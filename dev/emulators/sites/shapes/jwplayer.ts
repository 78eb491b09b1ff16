// Pages of the resolver `jwplayer`.
import { base64 } from "../select_base64_site.ts";
import { hls, type MakePage, type MakeScript, mp4, scriptPage } from "./page.ts";
import { Code, type Variant } from "./variant.ts";

const TRACKS = [
  { file: "/subs/en.vtt", label: "English", kind: "captions" },
  { file: "/thumbs.vtt", kind: "thumbnails" },
];
const BESIDE = {
  image: "https://decoy.test/poster.mp4",
  advertising: { client: "vast", schedule: [{ offset: "pre", tag: "https://decoy.test/vast.mp4" }] },
  related: { file: "https://decoy.test/related.mp4" },
  sharing: { link: "https://decoy.test/share" },
};

const setup = (v: Variant, options: unknown) => `jwplayer(${v.js("vplayer")}).setup(${v.js(options)})`;

export const JWPLAYER_SCRIPTS: Readonly<Record<string, MakeScript>> = {
  "setup-base64"(v) {
    const link = v.link("/v/master.m3u8");
    return {
      script: v.lines(setup(v, { ...BESIDE, file: new Code(`atob(${v.js(base64(link.reference))})`), tracks: TRACKS })),
      ...hls(link),
    };
  },
  "setup-json"(v) {
    const link = v.link("/v/master.m3u8");
    const json = JSON.stringify({ ...BESIDE, sources: [{ file: link.reference, type: "hls" }], tracks: TRACKS });
    return { script: v.lines(`jwplayer("p").setup(JSON.parse(${v.js(json)}))`), ...hls(link) };
  },
  "setup-variable"(v) {
    const link = v.link("/v/master.m3u8");
    return {
      script: v.lines(
        `var options = ${v.js({ ...BESIDE, sources: [{ file: link.reference }], tracks: TRACKS })};`,
        `const player = jwplayer("vplayer"), other = 1;`,
        `player.setup(options)`,
      ),
      ...hls(link),
    };
  },
  "setup-sources"(v) {
    const best = v.link("/v/1080.mp4");
    const sources = [["/v/360.mp4", "360p"], ["/v/1080.mp4", "1080p"], ["/v/720.mp4", "720p"]] as const;
    return {
      script: v.lines(
        setup(v, {
          ...BESIDE,
          sources: sources.map(([path, label]) => ({ file: v.link(path).reference, label, type: "mp4" })),
          tracks: TRACKS,
        }),
      ),
      ...mp4(best),
    };
  },
  "setup-playlist"(v) {
    const link = v.link("/v/master.m3u8");
    const playlist = [
      { title: "Trailer", file: "https://decoy.test/1.mp4" },
      {
        title: "Episode 1",
        sources: [{ file: link.reference, type: "application/vnd.apple.mpegurl" }],
        tracks: TRACKS,
      },
      { title: "Episode 2", sources: [{ file: "https://decoy.test/2.m3u8" }] },
    ];
    return { script: v.lines(setup(v, { ...BESIDE, playlist })), ...hls(link) };
  },
  "setup-file"(v) {
    const link = v.link("/v/ep1.mp4");
    return {
      script: v.lines(`$(function () { ${setup(v, { ...BESIDE, file: link.reference, tracks: TRACKS })} })`),
      ...mp4(link),
    };
  },
  load(v) {
    const link = v.link("/v/master.m3u8");
    return {
      script: v.lines(
        `var p = jwplayer("vplayer");`,
        `p.load(${v.js([{ ...BESIDE, file: link.reference, tracks: TRACKS }])})`,
      ),
      ...hls(link),
    };
  },
  "config-variable"(v) {
    const link = v.link("/v/master.m3u8");
    return {
      script: v.lines(`window.jwConfig = ${v.js({ ...BESIDE, file: link.reference, tracks: TRACKS })}`),
      ...hls(link),
    };
  },
};

export const JWPLAYER_PAGES: Readonly<Record<string, MakePage>> = {
  ...Object.fromEntries(Object.entries(JWPLAYER_SCRIPTS).map(([name, make]) => [name, scriptPage(make)])),
  "setup-playlist-url"(v) {
    const link = v.link("/v/master.m3u8");
    const isRss = v.radix === 36;
    const reference = new URL(link.url).href;
    const feed = isRss
      ? `<rss><channel><item><jwplayer:source file="${
        reference.replaceAll("&", "&amp;")
      }" label="720p" type="hls"/><jwplayer:image>x</jwplayer:image></item></channel></rss>`
      : JSON.stringify({
        title: "feed",
        playlist: [{ image: "https://decoy.test/p.jpg", sources: [{ file: reference, label: "720p" }] }],
      });
    const page = scriptPage(() => ({
      script: v.lines(setup(v, { ...BESIDE, playlist: "/feeds/7.json", tracks: TRACKS })),
      ...hls(link),
    }))(v);
    return {
      ...page,
      sites: { "player.test/feeds/7.json": () => new Response(feed, { headers: { "content-type": "text/plain" } }) },
    };
  },
};
