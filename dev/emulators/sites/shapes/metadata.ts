// Pages of the resolver `page-metadata`.
import { hls, type MakePage, mp4 } from "./page.ts";
import type { Variant } from "./variant.ts";

const one = (v: Variant, tag: string, attributes: Readonly<Record<string, string | true>>) =>
  `<${v.tag(tag)} ${v.attributes(attributes)}>`;

export const METADATA_PAGES: Readonly<Record<string, MakePage>> = {
  "json-ld"(v) {
    const link = v.link("/v/ep1.mp4");
    const video = {
      "@type": "VideoObject",
      name: "Episode 1",
      thumbnailUrl: "https://decoy.test/t.mp4",
      contentUrl: link.reference,
    };
    const value = [video, { "@graph": [{ "@type": "WebPage" }, video] }, [{
      "@type": "TVEpisode",
      video,
      trailer: { "@type": "VideoObject", contentUrl: "https://decoy.test/t.mp4" },
    }]][v.name.length % 3];
    const json = JSON.stringify(value, null, v.radix === 62 ? 2 : 0);
    return {
      html: `<${v.tag("script")} ${v.attributes({ type: "application/ld+json" })}>${json}</script>`,
      ...mp4(link),
    };
  },
  "og-video"(v) {
    const link = v.link("/v/ep1.mp4");
    const name = v.radix === 36 ? "og:video:secure_url" : "og:video";
    const type = one(v, "meta", { property: "og:video:type", content: "video/mp4" });
    return { html: type + one(v, "meta", { property: name, content: link.reference }), ...mp4(link) };
  },
  "twitter-stream"(v) {
    const link = v.link("/v/ep1.mp4");
    return { html: one(v, "meta", { name: "twitter:player:stream", content: link.reference }), ...mp4(link) };
  },
  "item-property"(v) {
    const link = v.link("/v/master.m3u8");
    const html = v.radix === 36
      ? one(v, "link", { itemprop: "contentUrl", href: link.reference })
      : one(v, "meta", { itemprop: "contentURL", content: link.reference });
    return { html, ...hls(link) };
  },
  "preload-link"(v) {
    const link = v.link("/v/ep1.mp4");
    return { html: one(v, "link", { rel: "preload", as: "video", href: link.reference }), ...mp4(link) };
  },
  "video-link"(v) {
    const link = v.link("/v/ep1.mp4");
    return { html: one(v, "link", { rel: "video_src", href: link.reference }), ...mp4(link) };
  },
  "url-parameter"(v) {
    const { url } = v.link("/v/ep1.mp4");
    const parameter = v.radix === 36
      ? `#${url}`
      : `?id=7&file=${encodeURIComponent(url)}&poster=https%3A%2F%2Fdecoy.test%2Fp.mp4`;
    return { html: `<script src="/player.js"></script>`, url, kind: "mp4", path: parameter };
  },
  "download-link"(v) {
    const link = v.link("/v/ep1.mp4");
    return {
      html: `${one(v, "a", { href: "https://decoy.test/ads/app.mp4", download: true })}App</a>${
        one(v, "a", { href: link.reference, download: true })
      }Download</a>`,
      ...mp4(link),
    };
  },
};
