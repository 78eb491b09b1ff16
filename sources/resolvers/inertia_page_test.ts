import assert from "node:assert/strict";
import { createSites, htmlResponse } from "../../dev/emulators/sites/sites.ts";
import { SourceError } from "../source_error.ts";
import { resolveServer } from "./index.ts";

const PAGE = "https://films.test/watch/1";
const entities = (text: string) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("'", "&#039;");
const page = (state: unknown) =>
  `<html><body><div id="app" data-page="${entities(JSON.stringify(state))}"></div></body></html>`;
const refusedAs = (reason: string) => (error: unknown) => error instanceof SourceError && error.reason === reason;

async function resolve(html: string) {
  const { fetch } = createSites({ "films.test": () => htmlResponse(html) });
  return await resolveServer({ embedUrl: PAGE }, { fetch, signal: new AbortController().signal, now: Date.now });
}

const MEDIA = "https://cdn.test/v/1.mp4?X-Amz-Date=20260101T000000Z&X-Amz-Expires=3600&X-Amz-Signature=ab";

Deno.test("inertia-page: props.url → URL, expiry, the page as Referer", async () => {
  const resolved = await resolve(
    page({ component: "Watch", props: { url: MEDIA, title: `"It's" <b>` }, url: "/watch/1" }),
  );
  assert.equal(resolved.url, MEDIA);
  assert.equal(resolved.kind, "mp4");
  assert.equal(resolved.expiresAt, Date.UTC(2026, 0, 1, 1) / 1000);
  assert.deepEqual(resolved.headers, { referer: "https://films.test/" });
});

Deno.test("inertia-page: URL without an extension → mp4, without a request", async () => {
  assert.equal((await resolve(page({ props: { url: "/v/get/7" } }))).kind, "mp4");
});

Deno.test("inertia-page: single-quoted attribute → JSON as it is", async () => {
  assert.equal(
    (await resolve(`<div data-page='{"props":{"url":"/v/2.m3u8"}}'></div>`)).url,
    "https://films.test/v/2.m3u8",
  );
});

Deno.test("inertia-page: url is null → subscription, even with a preview", async () => {
  const preview = `<meta property="og:video" content="https://cdn.test/part.mp4">`;
  for (
    const html of [
      page({ props: { url: null } }),
      page({ props: { url: null, requires_subscription: true } }) + preview,
    ]
  ) {
    await assert.rejects(resolve(html), refusedAs("subscription"));
  }
});

Deno.test("inertia-page: url is null, the media deeper → found", async () => {
  const state = { props: { url: null, video: { sources: [{ src: "https://cdn.test/a.m3u8" }] } } };
  assert.equal((await resolve(page(state))).url, "https://cdn.test/a.m3u8");
});

Deno.test("inertia-page: invalid JSON, or JSON of other types → parse", async () => {
  for (
    const html of [`<div data-page="{&quot;props&quot;:"></div>`, page({ props: { url: 5 } }), page({ nothing: true })]
  ) {
    await assert.rejects(resolve(html), refusedAs("parse"));
  }
});

Deno.test("inertia-page: no state, or none of a player → unsupported", async () => {
  for (
    const html of ["<div data-pages='{}'></div>", "<div data-page='7'></div>", page({ props: { title: "About us" } })]
  ) {
    await assert.rejects(resolve(html), refusedAs("unsupported"));
  }
});

Deno.test("inertia-page: other episodes and links of the page → not taken", async () => {
  const props = {
    episodes: [{ video_url: "https://cdn.test/2.mp4" }],
    links: [{ url: "/watch/2" }],
    auth: { user: { url: "/users/1" } },
  };
  await assert.rejects(resolve(page({ props })), refusedAs("unsupported"));
});
