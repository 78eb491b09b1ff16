/** Hosts that set a cookie with a page, a playlist or a redirect and refuse requests without it. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { assertWhole, clip, hlsHost } from "../../dev/testing/clip_host.ts";
import { dashClip, dashHost } from "../../dev/testing/dash_clip.ts";
import { ranged, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { readClip } from "../../dev/emulators/origin/clip.ts";

const COOKIE = "session=sesame";

function withCookie(response: Response): Response {
  const headers = new Headers(response.headers);
  headers.append("set-cookie", `${COOKIE}; Path=/; HttpOnly`);
  headers.append("set-cookie", "second=2");
  return new Response(response.body, { status: response.status, headers });
}

/** aria2c sends `a=1;b=2;`, in an order of its own. */
const hasCookie = (request: Request) =>
  request.headers.get("cookie")?.split(/;\s*/).filter(Boolean).sort().join("; ") === `second=2; ${COOKIE}`;
const refused = () => new Response("no cookie", { status: 403 });

Deno.test("cookie: set by the playlist → its segments are fetched with it", async () => {
  const host = hlsHost(clip.ts);
  await using fixture = await startFetchFixture(async (path, request) =>
    path.endsWith(".m3u8")
      ? withCookie(await host(path, request))
      : hasCookie(request)
      ? await host(path, request)
      : refused()
  );
  await assertWhole(await fixture.fetch("/v.m3u8"));
});

Deno.test("cookie: set by an MPD → its segments are fetched with it", async () => {
  const { mpd, files } = await dashClip();
  const host = dashHost(mpd, files);
  await using fixture = await startFetchFixture((path, request) =>
    path.endsWith(".mpd") ? withCookie(host(path, request)) : hasCookie(request) ? host(path, request) : refused()
  );
  const { durationSeconds } = await fixture.fetch("/m.mpd");
  assert.ok(Math.abs(durationSeconds - 8) < 0.2);
});

Deno.test("cookie: set by a redirect → the file is fetched with it, by aria2c too", async () => {
  const { mp4 } = await readClip();
  await using fixture = await startFetchFixture((path, request) => {
    if (path === "/a.mp4" && !hasCookie(request)) {
      return withCookie(new Response(null, { status: 302, headers: { location: "/a.mp4" } }));
    }
    return hasCookie(request) ? ranged(request, mp4) : refused();
  });
  await assertWhole(await fixture.fetch("/a.mp4"));
});

Deno.test("cookie: set by the page → aria2c sends it, but not to another host", async () => {
  const { mp4 } = await readClip();
  const elsewhere: (string | undefined)[] = [];
  // Another host name: cookies do not distinguish ports.
  const other = createServer((request, response) => {
    elsewhere.push(request.headers.cookie);
    response.writeHead(200, { "content-type": "video/mp4", "content-length": mp4.length });
    response.end(request.method === "HEAD" ? undefined : mp4);
  });
  await new Promise<void>((done) => other.listen(0, "127.0.0.2", done));
  const otherUrl = `http://127.0.0.2:${(other.address() as { port: number }).port}`;
  try {
    let asked = 0;
    await using fixture = await startFetchFixture((path, request) => {
      if (path === "/embed") {
        const page = `<video src="/a.mp4"></video>`;
        return withCookie(new Response(page, { headers: { "content-type": "text/html" } }));
      }
      if (!hasCookie(request)) return refused();
      asked++;
      return new Response(null, { status: 302, headers: { location: `${otherUrl}/a.mp4` } });
    });
    await fixture.fetch("/a.mp4", { embedUrl: `${fixture.url}/embed`, origins: [otherUrl] });
    assert.ok(asked >= 2, "by the probe and by aria2c");
    assert.deepEqual(new Set(elsewhere), new Set([undefined]));
  } finally {
    other.close();
  }
});

Deno.test("cookie: of a refused request → not in the error", async () => {
  await using fixture = await startFetchFixture((path, request) =>
    path.endsWith(".m3u8")
      ? withCookie(new Response("#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n"))
      : (void request, refused())
  );
  await assert.rejects(fixture.fetch("/v.m3u8"), (error) => !/sesame/.test(`${error} ${JSON.stringify(error)}`));
});
