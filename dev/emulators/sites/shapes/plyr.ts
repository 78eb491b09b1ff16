// Pages of the resolver `plyr`.
import { hls, inScript, type MakePage, type MakeScript, mp4, scriptPage } from "./page.ts";
import type { Variant } from "./variant.ts";

export const PLYR_SCRIPTS: Readonly<Record<string, MakeScript>> = {
  "player-source"(v) {
    const link = v.link("/v/1080.mp4");
    const source = {
      type: "video",
      title: "Episode 1",
      poster: "https://decoy.test/poster.mp4",
      sources: [{ src: v.link("/v/480.mp4").reference, type: "video/mp4", size: 480 }, {
        src: link.reference,
        type: "video/mp4",
        size: 1080,
      }],
      previewThumbnails: { src: "https://decoy.test/thumbs.vtt" },
      tracks: [{ kind: "captions", label: "English", srclang: "en", src: "/subs/en.vtt" }],
    };
    return { script: v.lines(`const player = new Plyr("#player");`, `player.source = ${v.js(source)}`), ...mp4(link) };
  },
  "load-source"(v) {
    const link = v.link("/v/master.m3u8");
    return {
      script: v.lines(
        `const video = document.querySelector("video");`,
        `var source = ${v.js(link.reference)};`,
        `if (Hls.isSupported()) { const hls = new Hls({ maxBufferLength: 30 }); hls.loadSource(source); hls.attachMedia(video) }`,
      ),
      ...hls(link),
    };
  },
  "dash-source"(v) {
    const link = v.link("/v/manifest");
    return {
      script: v.lines(
        `var player = dashjs.MediaPlayer().create();`,
        `player.initialize(document.querySelector("#v"), ${v.js(link.reference)}, true)`,
      ),
      url: link.url,
      kind: "dash",
    };
  },
  "element-src"(v) {
    const link = v.link("/v/ep1.mp4");
    const set = v.radix === 36
      ? `video.setAttribute("src", ${v.js(link.reference)})`
      : `video.src = isMobile ? ${v.js(link.reference)} : ${v.js(link.reference)}`;
    return {
      script: v.lines(
        `var video = document.getElementById("player");`,
        `image.src = ${v.js("https://decoy.test/p.mp4")};`,
        set,
      ),
      ...mp4(link),
    };
  },
  "constructor-options"(v) {
    const link = v.link("/v/720.mp4");
    const options = {
      controls: ["play", "progress"],
      ads: { enabled: true, tagUrl: "https://decoy.test/ad.mp4" },
      sources: [{ src: link.reference, size: 720 }],
    };
    return { script: v.lines(`window.player = new Plyr("#player", ${v.js(options)})`), ...mp4(link) };
  },
};

const element = (v: Variant, name: string, attributes: Readonly<Record<string, string | true>>, content = "") =>
  `<${v.tag(name)} ${v.attributes(attributes)}>${content}</${v.tag(name)}>`;

export const PLYR_PAGES: Readonly<Record<string, MakePage>> = {
  ...Object.fromEntries(Object.entries(PLYR_SCRIPTS).map(([name, make]) => [name, scriptPage(make)])),
  "config-attribute"(v) {
    const link = v.link("/v/master.m3u8");
    const config = JSON.stringify({
      title: "Episode 1",
      poster: "https://decoy.test/p.mp4",
      sources: [{ src: link.reference, type: "application/x-mpegURL" }],
    });
    return { html: element(v, "div", { class: "player", "data-plyr-config": config }), ...hls(link) };
  },
  "source-sizes"(v) {
    const link = v.link("/v/1080.mp4");
    const label = ["size", "label", "res", "data-quality", "title"][v.name.length % 5]!;
    const source = (path: string, size: string) =>
      `<${v.tag("source")} ${v.attributes({ src: v.link(path).reference, type: "video/mp4", [label]: size })}>`;
    const track = `<track ${v.attributes({ kind: "captions", srclang: "en", label: "English", src: "/subs/en.vtt" })}>`;
    const sources = `${source("/v/360.mp4", "360")}${source("/v/1080.mp4", "1080")}${
      source("/v/720.mp4", "720")
    }${track}`;
    return {
      html: element(v, "video", { id: "player", poster: "https://decoy.test/p.mp4", controls: true }, sources),
      ...mp4(link),
    };
  },
  "data-attributes"(v) {
    const link = v.link("/v/master.m3u8");
    const forms = [
      element(v, "video", { "data-src": link.reference, controls: true }),
      element(v, "div", { "data-plyr-provider": "html5", "data-plyr-embed-id": link.reference }),
      element(v, "div", { id: "player", "data-hls": link.reference, "data-poster": "https://decoy.test/p.mp4" }),
      element(v, "div", { class: "video-box", "data-video-url": link.reference }),
      element(
        v,
        "video",
        { controls: true, id: "p" },
        `<source ${v.attributes({ "data-src": link.reference, type: "application/x-mpegURL" })}>`,
      ),
    ];
    return { html: forms[v.name.length % forms.length]! + inScript("new Plyr('#player')", v), ...hls(link) };
  },
};
