// Pages of the resolver `inertia-page`.
import { base64 } from "../select_base64_site.ts";
import { hls, inScript, type MakePage, mp4 } from "./page.ts";
import type { Variant } from "./variant.ts";

const app = (v: Variant, value: string) =>
  `<${v.tag("div")} ${v.attributes({ id: "app", class: "root", "data-page": value })}></div>`;
const state = (props: unknown) => ({ component: "Watch", props, url: "/watch/1", version: "abc" });

/** Props beside the video, as such pages share them. */
const SHARED = {
  auth: { user: null },
  ziggy: { url: "https://player.test", routes: { watch: { uri: "watch/{id}" } } },
  trailer: { url: "https://decoy.test/t.mp4" },
  related: [{ url: "https://decoy.test/1.mp4" }],
  episodes: [{ number: 2, video_url: "https://decoy.test/2.mp4" }],
  poster: "https://decoy.test/p.jpg",
};

const nested = (reference: string) => ({
  ...SHARED,
  episode: {
    number: 1,
    title: `"It's" <b>`,
    video: { sources: [{ url: reference, quality: "720p" }], thumbnail: "https://decoy.test/t.mp4" },
  },
});

export const INERTIA_PAGES: Readonly<Record<string, MakePage>> = {
  "props-url"(v) {
    const link = v.link("/v/get");
    return {
      html: app(v, JSON.stringify(state({ ...SHARED, url: link.reference, title: "Episode 1" }))),
      ...mp4(link),
    };
  },
  "props-nested"(v) {
    const link = v.link("/v/master.m3u8");
    return { html: app(v, JSON.stringify(state(nested(link.reference)), null, v.radix === 62 ? 2 : 0)), ...hls(link) };
  },
  "encoded-attribute"(v) {
    const link = v.link("/v/master.m3u8");
    const json = JSON.stringify(state(nested(link.reference)));
    return {
      html: app(
        v,
        v.radix === 36
          ? base64(json)
          : v.radix === 10
          ? json.replaceAll("&", "&amp;").replaceAll('"', "&quot;")
          : encodeURIComponent(json),
      ),
      ...hls(link),
    };
  },
  "script-element"(v) {
    const link = v.link("/v/master.m3u8");
    const json = JSON.stringify(state(nested(link.reference))).replaceAll("<", "\\u003c").replaceAll(
      "/",
      v.radix === 10 ? "\\/" : "/",
    );
    return {
      html: `<${v.tag("script")} ${
        v.attributes({ "data-page": "app", type: "application/json" })
      }>${json}</script><div id="app"></div>`,
      ...hls(link),
    };
  },
  "page-variable"(v) {
    const link = v.link("/v/master.m3u8");
    const value = v.js(state({ ...SHARED, video: { url: link.reference } }));
    const script = v.radix === 36 ? `createInertiaApp({ page: ${value}, resolve })` : `window.initialPage = ${value}`;
    return { html: inScript(v.lines(script), v), ...hls(link) };
  },
  "json-response"(v) {
    const link = v.link("/v/master.m3u8");
    const json = JSON.stringify(state(nested(link.reference)), null, v.radix === 62 ? 2 : 0);
    return {
      html: json,
      isWhole: true,
      headers: [["content-type", "application/json"], ["x-inertia", "true"]],
      ...hls(link),
    };
  },
  "state-script"(v) {
    const link = v.link("/v/master.m3u8");
    const json = JSON.stringify({ props: { pageProps: nested(link.reference) }, page: "/watch/[id]" }).replaceAll(
      "<",
      "\\u003c",
    );
    return {
      html: `<${v.tag("script")} ${v.attributes({ id: "__NEXT_DATA__", type: "application/json" })}>${json}</script>`,
      ...hls(link),
    };
  },
  "component-attribute"(v) {
    const link = v.link("/v/master.m3u8");
    const name = [
      "wire:snapshot",
      "data-props",
      "data-react-props",
      "wire:initial-data",
      "data-state",
    ][v.name.length % 5]!;
    const json = JSON.stringify({ data: nested(link.reference), memo: { path: "watch/1", name: "player" } });
    return { html: `<${v.tag("div")} ${v.attributes({ id: "c", [name]: json })}></div>`, ...hls(link) };
  },
  "deferred-props"(v) {
    const link = v.link("/v/master.m3u8");
    return {
      html: app(v, JSON.stringify({ ...state(SHARED), deferredProps: { default: ["video", "comments"] } })),
      ...hls(link),
      sites: {
        "player.test/e/1"(request) {
          const isReload = request.headers.get("x-inertia") === "true" &&
            request.headers.get("x-inertia-version") === "abc" &&
            request.headers.get("x-inertia-partial-component") === "Watch" &&
            request.headers.get("x-inertia-partial-data") === "video,comments";
          return isReload
            ? Response.json({ component: "Watch", props: { video: { src: link.reference } } })
            : new Response("", { status: 409 });
        },
      },
    };
  },
};
