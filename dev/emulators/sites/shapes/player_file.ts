// Pages of the resolver `player-file`.
import { base64 } from "../select_base64_site.ts";
import { hls, inScript, type MakePage, type MakeScript, mp4, scriptPage } from "./page.ts";

export const PLAYER_FILE_SCRIPTS: Readonly<Record<string, MakeScript>> = {
  "player-src"(v) {
    const link = v.link("/v/stream");
    const source = { src: link.reference, type: "application/x-mpegURL" };
    const argument = [source, [source], [{ ...source, label: "720p" }, {
      src: "https://decoy.test/ads/1.mp4",
      type: "video/mp4",
    }]][v.name.length % 3];
    return {
      script: v.lines(
        `var player = videojs("vplayer");`,
        `player.poster("https://decoy.test/p.mp4");`,
        `player.src(${v.js(argument)})`,
      ),
      ...hls(link),
    };
  },
  "player-options"(v) {
    const link = v.link("/v/1080.mp4");
    const low = v.link("/v/360.mp4").reference;
    const script = [
      `videojs("vplayer", ${
        v.js({
          poster: "https://decoy.test/p.mp4",
          sources: [{ src: low, label: "360p" }, { src: link.reference, label: "1080p" }],
        })
      })`,
      `new Playerjs(${
        v.js({ id: "player", file: `[360p]${low},[1080p]${link.reference}`, preroll: "https://decoy.test/pre.mp4" })
      })`,
      `new DPlayer(${
        v.js({
          container: "x",
          video: {
            quality: [{ name: "360P", url: low }, { name: "1080P", url: link.reference }],
            pic: "https://decoy.test/p.jpg",
          },
        })
      })`,
      `new Clappr.Player(${v.js({ source: link.reference, parentId: "#p", poster: "https://decoy.test/p.mp4" })})`,
      `flowplayer("#p", ${
        v.js({
          clip: { sources: [{ type: "video/mp4", src: link.reference }] },
          preroll: [{ src: "https://decoy.test/1.mp4" }],
        })
      })`,
    ][v.name.length % 5]!;
    return { script: v.lines(script), ...mp4(link) };
  },
  "quality-map"(v) {
    const link = v.link("/v/1080.mp4");
    const map = {
      "360p": v.link("/v/360.mp4").reference,
      "1080p": link.reference,
      "720p": v.link("/v/720.mp4").reference,
    };
    return { script: v.lines(`const links = ${v.js(map)}`), ...mp4(link) };
  },
  "json-variable"(v) {
    const link = v.link("/v/master.m3u8");
    const json = JSON.stringify([{ file: link.reference, label: "Auto", type: "hls" }]);
    return { script: v.lines(`let videoData = JSON.parse(${v.js(json)})`), ...hls(link) };
  },
  "base64-variable"(v) {
    const link = v.link("/v/master.m3u8");
    const value = [
      `atob(${v.js(base64(link.reference))})`,
      `JSON.parse(atob(${v.js(base64(JSON.stringify({ sources: [{ src: link.reference }] })))}))`,
      `atob(${v.js([...base64(link.reference)].reverse().join(""))}.split("").reverse().join(""))`,
      `decodeURIComponent(window.atob(${v.js(base64(encodeURIComponent(link.reference)))}))`,
    ][v.name.length % 4]!;
    return { script: v.lines(`var videoUrl = ${value}`), ...hls(link) };
  },
  "sources-variable"(v) {
    const link = v.link("/v/master.m3u8");
    const value = [
      [{ src: v.link("/v/480.mp4").reference, type: "video/mp4", label: "480p" }, {
        src: link.reference,
        type: "application/x-mpegURL",
      }],
      {
        hls: link.reference,
        mp4: v.link("/v/480.mp4").reference,
        video_height: 720,
        thumbnail: "https://decoy.test/t.mp4",
      },
      {
        ads: [{ file: "https://decoy.test/a.mp4" }],
        video: { sources: { hls: link.reference } },
        trailer: { url: "https://decoy.test/t.m3u8" },
      },
    ][v.name.length % 3];
    return { script: v.lines(`window.videoSources = ${v.js(value)}`), ...hls(link) };
  },
  "url-variable"(v) {
    const link = v.link("/v/master.m3u8");
    return {
      script: v.lines(`var posterUrl = "https://decoy.test/p.mp4", hlsUrl = ${v.js(link.reference)}`, `var x = 1`),
      ...hls(link),
    };
  },
  "hidden-link"(v) {
    const link = v.link("/get_video");
    const [start, end] = [link.reference.slice(0, 12), link.reference.slice(12)];
    const expression = `${v.js(start)} + ${v.js(`xyz${end}`)}.substring(3)`;
    return { script: v.lines(`document.getElementById("vplayer").innerHTML = ${expression}`), ...mp4(link) };
  },
  "call-argument"(v) {
    const link = v.link("/v/master.m3u8");
    const argument = v.radix === 36
      ? { id: 7, file: link.reference, thumb: "https://decoy.test/t.mp4" }
      : link.reference;
    return { script: v.lines(`startPlayback(${v.js(argument)}, ${v.js("vplayer")})`), ...hls(link) };
  },
};

export const PLAYER_FILE_PAGES: Readonly<Record<string, MakePage>> = {
  ...Object.fromEntries(Object.entries(PLAYER_FILE_SCRIPTS).map(([name, make]) => [name, scriptPage(make)])),
  "hidden-link"(v) {
    const { script, url, kind } = PLAYER_FILE_SCRIPTS["hidden-link"]!(v);
    const media = () => new Response("", { headers: { "content-type": "video/mp4" } });
    return {
      html: inScript(script, v),
      url,
      kind,
      sites: { "cdn.test/get_video": media, "player.test/get_video": media },
    };
  },
  "source-elements"(v) {
    const link = v.link("/v/ep1.mp4");
    const source = `<${v.tag("source")} ${v.attributes({ src: link.reference, type: "video/mp4" })}>`;
    return {
      html: `<${v.tag("video")} controls ${v.attributes({ poster: "https://decoy.test/p.mp4" })}>${source}</video>`,
      ...mp4(link),
    };
  },
  "video-src"(v) {
    const link = v.link("/v/ep1.mp4");
    return {
      html: `<${v.tag("video")} controls ${
        v.attributes({ id: "v", src: link.reference, poster: "https://decoy.test/p.mp4" })
      }></video>`,
      ...mp4(link),
    };
  },
  "option-attributes"(v) {
    const link = v.link("/v/master.m3u8");
    const options = JSON.stringify({
      poster: "https://decoy.test/p.mp4",
      sources: [{ src: link.reference, type: "application/x-mpegURL" }],
    });
    const name = ["data-setup", "data-options", "data-config", "data-player", "data-sources"][v.name.length % 5]!;
    return {
      html: `<${v.tag("video")} ${v.attributes({ class: "video-js", [name]: options })}></video>`,
      ...hls(link),
    };
  },
  "json-script"(v) {
    const link = v.link("/v/master.m3u8");
    const json = JSON.stringify({
      poster: "https://decoy.test/p.mp4",
      player: { sources: [{ file: link.reference, type: "hls" }] },
    });
    return {
      html: `<${v.tag("script")} ${v.attributes({ type: "application/json", id: "player-config" })}>${json}</script>`,
      ...hls(link),
    };
  },
  "added-elements"(v) {
    const link = v.link("/v/ep1.mp4");
    const markup = `<video controls ${v.attributes({ src: link.reference })}></video>`;
    const literal = v.js(markup).replaceAll("</", "<\\/");
    const script = v.radix === 36
      ? `document.getElementById("vplayer").innerHTML = ${literal}`
      : `document.write(${literal})`;
    return { html: inScript(v.lines(script), v), ...mp4(link) };
  },
};
