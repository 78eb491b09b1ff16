// Hostile sources and links in Chromium: on the proxy's origin, a browser may only play media.
import assert from "node:assert/strict";
import { startBrowser } from "../../dev/testing/browser.ts";
import { startFirefox } from "../../dev/testing/firefox.ts";
import { findProgram } from "../../dev/process/install.ts";
import { codeOf, media, type ProxyFixture, send, startProxyFixture, text } from "../../dev/testing/proxy_fixture.ts";

const SCRIPT =
  "self.onfetch = () => {}; self.document && (document.title = 'owned'); self.owned = true; self.postMessage('ran');";
const HTML = `<title>page</title><script>${SCRIPT} fetch('/beacon')</script><body onload="fetch('/beacon')">x`;
const XML = `<?xml version="1.0"?><a xmlns="x"><script xmlns="http://www.w3.org/1999/xhtml">${SCRIPT}</script></a>`;

/** Content-Type headers that some browser has treated as a page or as code. */
const HOSTILE: readonly (readonly [what: string, type: string | readonly string[], body: string])[] = [
  ["two types in one header", "image/png, text/html", HTML],
  ["two types, the page first", "text/html, image/png", HTML],
  ["two headers", ["image/png", "text/html"], HTML],
  ["a comma in a broken parameter", 'image/png; a="b, text/html', HTML],
  ["HTML", "text/html", HTML],
  ["XHTML", "application/xhtml+xml", XML],
  ["SVG", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"><script>${SCRIPT}</script></svg>`],
  ["XML under a video's name", "video/x+xml", XML],
  ["XML", "text/xml", XML],
  ["a feed", "application/rss+xml", XML],
  [
    "a page that replaces itself",
    "multipart/x-mixed-replace; boundary=b",
    `--b\nContent-Type: text/html\n\n${HTML}\n--b--`,
  ],
  ["PDF", "application/pdf", "%PDF-1.4 /OpenAction << /S /JavaScript /JS (app.alert(1)) >>"],
  ["JavaScript", "text/javascript", SCRIPT],
  ["JavaScript after a picture", "image/png, text/javascript", SCRIPT],
  ["CSS", "text/css", "body { color: red }"],
  ["WASM", "application/wasm", "\0asm"],
  ["JSON", "application/json", "{}"],
  ["text", "text/plain", HTML],
  ["bytes", "application/octet-stream", HTML],
  ["nothing", [], HTML],
];

function serveAs(proxy: ProxyFixture, type: string | readonly string[], body: string): void {
  proxy.route("/a", (_request, response) => {
    response.writeHead(
      200,
      [["content-length", String(body.length)], ...[type].flat().map((one) => ["content-type", one])]
        .flat() as string[],
    );
    response.end(body);
  });
}

Deno.test("destination: types that browsers run or render → sandboxed data", async (t) => {
  await using proxy = await startProxyFixture();
  for (const [what, type, body] of HOSTILE) {
    await t.step(what, async () => {
      serveAs(proxy, type, body);
      const plain = await proxy.get("/a.bin");
      await plain.body?.cancel();
      if (plain.status === 200) {
        assert.match(plain.headers.get("content-type")!, /^(text\/plain|application\/(octet-stream|json))(;|$)/);
      } else {
        assert.equal(plain.status, 502);
      }
      assert.equal(plain.headers.get("content-security-policy"), "default-src 'none'; sandbox");
      assert.equal(plain.headers.get("x-content-type-options"), "nosniff");
      for (const destination of ["document", "iframe", "frame", "embed", "object"]) {
        const page = await proxy.get("/a.bin", { headers: { "sec-fetch-dest": destination } });
        assert.equal(page.status, plain.status === 200 ? 403 : 502, destination);
        assert.match(page.headers.get("content-type")!, /problem\+json/);
        assert.equal(page.headers.get("content-security-policy"), "default-src 'none'; sandbox");
        await page.body?.cancel();
      }
    });
  }
});

Deno.test("destination: script, style, manifest or worker → 403, no fetch", async () => {
  await using proxy = await startProxyFixture();
  for (const type of ["text/javascript", "video/mp4"]) {
    serveAs(proxy, type, SCRIPT);
    const destinations = [
      "script",
      "serviceworker",
      "worker",
      "sharedworker",
      "style",
      "manifest",
      "xslt",
      "font",
      "made-up",
    ];
    const requests: Record<string, string>[] = destinations.map((one) => ({ "sec-fetch-dest": one }));
    for (const headers of [...requests, { "service-worker": "script" }]) {
      const response = await proxy.get("/a.mp4", { headers });
      assert.equal(response.status, 403, JSON.stringify(headers));
      assert.equal(await codeOf(response), "destination_refused");
    }
  }
  assert.equal(proxy.seen.length, 0);
});

Deno.test("destination: a source's error opened as a page → problem", async () => {
  await using proxy = await startProxyFixture();
  proxy.route("/a", text("<script>alert(1)</script>", "text/html", 404));
  const response = await proxy.get("/a.mp4", { headers: { "sec-fetch-dest": "document" } });
  assert.equal(response.status, 404);
  assert.equal(await codeOf(response), "destination_refused");
});

Deno.test("destination: media and playlists, as a page or in a player → served", async () => {
  await using proxy = await startProxyFixture();
  proxy.route("/a.mp4", media(new Uint8Array(100)));
  proxy.route("/a.png", (_request, response) => send(response, 200, { "content-type": "image/png" }, "x"));
  proxy.route("/a.m3u8", text("#EXTM3U\n#EXTINF:1,\na.ts\n"));
  for (const path of ["/a.mp4", "/a.png", "/a.m3u8"]) {
    for (const destination of ["document", "iframe", "video", "audio", "image", "track", "empty"]) {
      const response = await proxy.get(path, { headers: { "sec-fetch-dest": destination } });
      assert.equal(response.status, 200, `${path} ${destination}`);
      const isPage = ["document", "iframe"].includes(destination);
      const expected = isPage ? "default-src 'none'; media-src 'self'; sandbox" : "default-src 'none'; sandbox";
      assert.equal(response.headers.get("content-security-policy"), expected);
      await response.body?.cancel();
    }
  }
});

Deno.test("destination: every response → sandbox and nosniff", async () => {
  await using proxy = await startProxyFixture({ vars: { REDIRECT_MODE: "on" } });
  proxy.route("/m.m3u8", text("#EXTM3U\n#EXTINF:1,\na.ts\n"));
  proxy.route("/list.json", text('{"ASSETS":[]}', "application/json"));
  const links = await Promise.all(["/a.mp4", "/m.m3u8", "/list.json", "/missing"].map((path) => proxy.link(path)));
  for (const url of [...links, `${proxy.worker.url}/`, `${proxy.worker.url}/health`, `${proxy.worker.url}/proxy`]) {
    for (const method of ["GET", "HEAD", "POST"]) {
      const response = await fetch(url, { method, redirect: "manual" });
      await response.body?.cancel();
      assert.equal(
        response.headers.get("content-security-policy"),
        "default-src 'none'; sandbox",
        `${method} ${url}`,
      );
      assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    }
  }
});

Deno.test("Chromium: hostile page, script or service worker → nothing runs", async (t) => {
  await using browser = await startBrowser();
  await using proxy = await startProxyFixture();
  const page = await browser.open("about:blank");
  // A page on the Worker's origin, which the Worker never serves, is the worst case.
  await page.route(`${proxy.worker.url}/there`, (route) => route.fulfill({ contentType: "text/html", body: "there" }));
  for (const [what, type, body] of HOSTILE) {
    await t.step(what, async () => {
      serveAs(proxy, type, body);
      const link = await proxy.link("/a.bin");
      await page.goto(link, { waitUntil: "load" }).catch((error) =>
        assert.match(String(error), /ERR_ABORTED|Download/)
      );
      assert.notEqual(await page.title(), "owned");
      await page.goto(`${proxy.worker.url}/there`);
      const attempts = await page.evaluate(`(async () => {
        const link = ${JSON.stringify(link)};
        const load = (make) => new Promise((done) => {
          const element = make();
          element.onload = () => done("loaded");
          element.onerror = () => done("refused");
          document.head.append(element);
        });
        return {
          serviceWorker: await navigator.serviceWorker.register(link).then(() => "registered", () => "refused"),
          script: await load(() => Object.assign(document.createElement("script"), { src: link })),
          module: await import(link).then(() => "loaded", () => "refused"),
          style: await load(() => Object.assign(document.createElement("link"), { rel: "stylesheet", href: link })),
          worker: await new Promise((done) => {
            Object.assign(new Worker(link), { onerror: () => done("refused"), onmessage: () => done("ran") });
          }),
          owned: self.owned === true,
        };
      })()`);
      assert.deepEqual(attempts, {
        serviceWorker: "refused",
        script: "refused",
        module: "refused",
        style: "refused",
        worker: "refused",
        owned: false,
      });
    });
  }
  assert.ok(!proxy.seen.some(({ target }) => target.includes("beacon")));
});

interface Video {
  readonly currentTime: number;
  readonly ended: boolean;
  readonly error: number | null;
  readonly readyState: number;
}

const SAMPLES = {
  mp4: ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart"],
  webm: ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"],
} as const;

for (const [extension, codecs] of Object.entries(SAMPLES)) {
  Deno.test(`Chromium: ${extension} opened in a tab → plays to the end, sandboxed`, async () => {
    await using browser = await startBrowser();
    await using proxy = await startProxyFixture();
    proxy.route("/a", media(await sample(extension, codecs), { type: `video/${extension}` }));
    const page = await browser.open("about:blank");
    const response = await page.goto(await proxy.link(`/a.${extension}`));
    assert.match(response!.headers()["content-security-policy"]!, /^default-src 'none'.*; sandbox$/);
    const state =
      `(({ currentTime, ended, error, readyState }) => ({ currentTime, ended, error: error?.code ?? null, readyState }))(
      document.querySelector("video"))`;
    // A sandboxed page cannot autoplay and runs no timers of the test, so the test polls it.
    const until = async (is: (video: Video) => boolean): Promise<Video> => {
      for (;;) {
        const video = await page.evaluate(state) as Video;
        if (video.error !== null || is(video)) return video;
      }
    };
    await until(({ readyState }) => readyState === 4);
    await page.keyboard.press("Space");
    const { currentTime, error } = await until(({ ended }) => ended);
    assert.equal(error, null);
    assert.ok(currentTime > 0.9, `ended at ${currentTime}`);
  });
}

Deno.test("Chromium: media with a wrong type, cross-origin → plays", async (t) => {
  await using browser = await startBrowser();
  await using proxy = await startProxyFixture();
  const page = await browser.open("about:blank");
  await using watch = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () => new Response("watch"));
  await page.goto(`http://127.0.0.1:${watch.addr.port}/`);
  for (const [extension, type] of [["mp4", "text/plain"], ["webm", "application/x-matroska"]] as const) {
    await t.step(`${extension} as ${type}`, async () => {
      const path = `/a.${extension}`;
      proxy.route(path, media(await sample(extension, SAMPLES[extension]), { type }));
      const outcome = await page.evaluate(`new Promise((done) => {
        const video = document.createElement("video");
        Object.assign(video, { oncanplay: () => done("plays"), onerror: () => done(video.error.message) });
        video.src = ${JSON.stringify(await proxy.link(path))};
      })`);
      assert.equal(outcome, "plays");
    });
  }
});

const firefox = findProgram({ names: ["firefox-esr", "firefox"], apt: "firefox-esr", brew: "--cask firefox" });

Deno.test({
  name: "Firefox, where installed: a video opened in a tab → plays; a hostile page → runs nothing",
  ignore: firefox === undefined,
  async fn() {
    await using tab = await startFirefox(firefox!);
    await using proxy = await startProxyFixture();
    for (const [extension, codecs] of Object.entries(SAMPLES)) {
      proxy.route(`/a.${extension}`, media(await sample(extension, codecs), { type: `video/${extension}` }));
      await tab.open(await proxy.link(`/a.${extension}`));
      const ended = `document.querySelector("video").ended || document.querySelector("video").error !== null`;
      while (!await tab.evaluate(ended));
      const end = `(({ currentTime, error }) => [currentTime > 0.9, error])(document.querySelector("video"))`;
      assert.deepEqual(await tab.evaluate(end), [true, null], extension);
    }
    for (const [what, type, body] of HOSTILE) {
      serveAs(proxy, type, body);
      await tab.open(await proxy.link("/a.bin"));
      assert.notEqual(await tab.evaluate("document.title"), "owned", what);
    }
    assert.ok(!proxy.seen.some(({ target }) => target.includes("beacon")));
  },
});

async function sample(extension: string, codecs: readonly string[]): Promise<Uint8Array> {
  const file = await Deno.makeTempFile({ suffix: `.${extension}` });
  try {
    const input = ["-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=1", "-f", "lavfi", "-i", "sine=duration=1"];
    const { success } = await new Deno.Command("ffmpeg", {
      args: ["-nostdin", "-v", "error", "-y", ...input, ...codecs, file],
      stdin: "null",
    }).output();
    assert.ok(success);
    return await Deno.readFile(file);
  } finally {
    await Deno.remove(file);
  }
}
