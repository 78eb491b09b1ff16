// Pages of the resolver `json-api`, and the APIs that they ask. An API is as strict as real ones: wrong token, method or header → 403.
import type { Site } from "../sites.ts";
import { hls, inScript, type MakePage, mp4, type ShapePage } from "./page.ts";
import type { Link, Variant } from "./variant.ts";

const TOKEN = "tok-9f8e";
const BESIDE = {
  thumbnail: "https://decoy.test/t.mp4",
  trailer: "https://decoy.test/trailer.mp4",
  ads: [{ file: "https://decoy.test/a.mp4" }],
};

/** The forms that a response may have. */
function json(v: Variant, link: Link): Response {
  const reference = new URL(link.url).href;
  const forms = [
    { ...BESIDE, success: true, data: { url: reference } },
    {
      ...BESIDE,
      sources: [{ file: reference, label: "720p" }],
      tracks: [{ file: "/en.vtt", kind: "captions", label: "English" }],
    },
    { ...BESIDE, url: reference },
    { ...BESIDE, status: 200, result: { streams: { hls: reference } } },
    { ...BESIDE, data: [{ file: reference, label: "1080p", type: "hls" }] },
  ];
  return Response.json(forms[v.name.length % forms.length]);
}

function api(check: (request: Request, url: URL) => boolean | Promise<boolean>, respond: () => Response): Site {
  return async (request, url) => await check(request, url) ? respond() : new Response("forbidden", { status: 403 });
}

const scripted = (
  v: Variant,
  statements: readonly string[],
  link: Link,
  sites: ShapePage["sites"],
  more: Partial<ShapePage> = {},
): ShapePage => ({
  html: inScript(v.lines(`fetch("https://decoy.test/collect?e=view", { method: "POST" })`, ...statements), v),
  ...hls(link),
  ...(sites && { sites }),
  ...more,
});

const LINK = "/v/master.m3u8";

export const JSON_API_PAGES: Readonly<Record<string, MakePage>> = {
  fetch(v) {
    const link = v.link(LINK);
    const options = { method: "POST", headers: { "X-Token": TOKEN, "Content-Type": "application/json" } };
    const call = `fetch(${v.js("/api/source/")} + id, { ...${
      v.js(options)
    }, body: JSON.stringify({ id: id, t: token }) }).then(r => r.json()).then(data => player.load(data.url))`;
    return scripted(v, [`var id = 7, token = ${v.js(TOKEN)};`, call], link, {
      "player.test/api/source/7": api(async (request) => {
        const body = await request.json();
        return request.method === "POST" && request.headers.get("x-token") === TOKEN && body.id === 7 &&
          body.t === TOKEN &&
          request.headers.get("content-type") === "application/json" &&
          request.headers.get("origin") === "https://player.test";
      }, () => json(v, link)),
    });
  },
  "jquery-get"(v) {
    const link = v.link(LINK);
    const call = v.radix === 36
      ? `$.get(${v.js(`/ajax/sources?id=7&token=${TOKEN}`)}, function (data) { setup(data.link) })`
      : `$.getJSON(${v.js("/ajax/sources")}, ${
        v.js({ id: 7, token: TOKEN })
      }, function (data) { jwplayer("p").setup({ file: data.file }) })`;
    return scripted(v, [call], link, {
      "player.test/ajax/sources": api(
        (request, url) =>
          url.searchParams.get("id") === "7" && url.searchParams.get("token") === TOKEN &&
          request.headers.get("x-requested-with") === "XMLHttpRequest",
        () => json(v, link),
      ),
    });
  },
  "jquery-post"(v) {
    const link = v.link(LINK);
    const csrf = `<${v.tag("meta")} ${v.attributes({ name: "csrf-token", content: TOKEN })}>`;
    const page = scripted(
      v,
      [`$.post(${v.js("/api/source/7")}, ${v.js({ r: "", d: "player.test" })}, function (res) { play(res) })`],
      link,
      {
        "player.test/api/source/7": api(async (request) => {
          const form = await request.formData();
          return request.headers.get("x-csrf-token") === TOKEN &&
            request.headers.get("cookie") === "session=s1; XSRF-TOKEN=x%3D" &&
            request.headers.get("x-xsrf-token") === "x=" && form.get("d") === "player.test";
        }, () => json(v, link)),
      },
      { headers: [["set-cookie", "session=s1; Path=/; HttpOnly"], ["set-cookie", "XSRF-TOKEN=x%3D; Path=/"]] },
    );
    return { ...page, html: csrf + page.html };
  },
  "jquery-ajax"(v) {
    const link = v.link(LINK);
    const meta = `<${v.tag("meta")} ${v.attributes({ name: "csrf-token", content: TOKEN })}>`;
    const page = scripted(
      v,
      [
        `$.ajaxSetup({ headers: { "X-CSRF-TOKEN": $('meta[name="csrf-token"]').attr("content") } });`,
        `$.ajax({ url: ${v.js("/player/info")}, type: ${v.js("POST")}, dataType: "json", data: ${
          v.js({ hash: "h1" })
        }, success: function (d) { go(d) } })`,
      ],
      link,
      {
        "player.test/player/info": api(
          async (request) =>
            request.headers.get("x-csrf-token") === TOKEN && (await request.formData()).get("hash") === "h1",
          () => json(v, link),
        ),
      },
    );
    return { ...page, html: meta + page.html };
  },
  axios(v) {
    const link = v.link(LINK);
    const [call, isPost] = v.radix === 36
      ? [
        `axios.post(${v.js("/api/video")}, ${v.js({ code: "c1" })}, { headers: ${
          v.js({ Authorization: `Bearer ${TOKEN}` })
        } })`,
        true,
      ]
      : [
        `axios.get(${v.js("/api/video")}, { params: ${v.js({ code: "c1" })}, headers: ${
          v.js({ Authorization: `Bearer ${TOKEN}` })
        } })`,
        false,
      ];
    return scripted(v, [`${call}.then(({ data }) => { hls.loadSource(data.url) })`], link, {
      "player.test/api/video": api(async (request, url) => {
        const code = isPost ? (await request.json()).code : url.searchParams.get("code");
        return code === "c1" && request.headers.get("authorization") === `Bearer ${TOKEN}`;
      }, () => json(v, link)),
    });
  },
  "xml-http-request"(v) {
    const link = v.link(LINK);
    return scripted(
      v,
      [
        `var xhr = new XMLHttpRequest();`,
        `xhr.open(${v.js("POST")}, ${v.js("/api/get-link")}, true);`,
        `xhr.setRequestHeader(${v.js("Content-Type")}, ${v.js("application/x-www-form-urlencoded")});`,
        `xhr.setRequestHeader(${v.js("X-Key")}, ${v.js(TOKEN)});`,
        `xhr.onload = function () { play(JSON.parse(xhr.responseText).url) };`,
        `xhr.send(${v.js("id=7&type=ep")})`,
      ],
      link,
      {
        "player.test/api/get-link": api(
          async (request) => request.headers.get("x-key") === TOKEN && (await request.formData()).get("id") === "7",
          () => json(v, link),
        ),
      },
    );
  },
  "data-attributes"(v) {
    const link = v.link("/v/file");
    const attributes = { id: "player", "data-api": "/api/source/{id}", "data-id": "7", "data-token": TOKEN };
    return {
      html: `<${v.tag("div")} ${v.attributes(attributes)}></div>`,
      ...mp4(link),
      sites: {
        "player.test/api/source/7": api(
          (_request, url) => url.searchParams.get("token") === TOKEN,
          () => new Response(null, { status: 302, headers: { location: link.url } }),
        ),
        "cdn.test/v/file": () => new Response("", { headers: { "content-type": "video/mp4" } }),
        "player.test/v/file": () => new Response("", { headers: { "content-type": "video/mp4" } }),
      },
    };
  },
  "two-steps"(v) {
    const link = v.link(LINK);
    const script = v.radix === 36
      ? `async function start() { const { token } = await (await fetch(${v.js("/api/token?id=7")})).json();
          const r = await fetch(\`/api/source/7?token=\${token}\`, { headers: { "X-Step": token } }); }`
      : `fetch(${v.js("/api/token?id=7")}).then(function (r) { return r.json() }).then(function (t) {
          return fetch(${
        v.js("/api/source/7?token=")
      } + t.data.token, { headers: { "X-Step": t.data.token } }) }).then(show)`;
    return scripted(v, [script], link, {
      "player.test/api/token": () =>
        Response.json(v.radix === 36 ? { token: TOKEN } : { data: { token: TOKEN, ttl: 60 } }),
      "player.test/api/source/7": api(
        (request, url) => url.searchParams.get("token") === TOKEN && request.headers.get("x-step") === TOKEN,
        () => json(v, link),
      ),
    });
  },
  "html-response"(v) {
    const link = v.link(LINK);
    const iframe = `<iframe src="/embed/7" allowfullscreen></iframe>`;
    const respond = () =>
      v.radix === 36 ? Response.json({ status: "ok", html: iframe }) : new Response(`<div>${iframe}</div>`);
    return scripted(
      v,
      [`$.get(${v.js("/ajax/player?episode=7")}, function (html) { $("#vplayer").html(html) })`],
      link,
      {
        "player.test/ajax/player": respond,
        "player.test/embed/7": () =>
          new Response(`<script>p.setup({ file: "${link.url}" })</script>`, {
            headers: { "content-type": "text/html" },
          }),
      },
      { then: " → jwplayer: setup-file" },
    );
  },
  "json-response"(v) {
    const link = v.link(LINK);
    const body = { ...BESIDE, stream: { url: link.reference, expires: 5 } };
    return {
      html: JSON.stringify(body, null, v.radix === 62 ? 2 : 0),
      isWhole: true,
      headers: [["content-type", "application/json"]],
      ...hls(link),
    };
  },
};
