import assert from "node:assert/strict";
import { SourceError } from "../source_error.ts";
import { resolveInertiaPage } from "./inertia_page.ts";

const PAGE = "https://films.test/watch/1";
const entities = (text: string) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("'", "&#039;");
const page = (state: unknown) =>
  `<html><body><div id="app" data-page="${entities(JSON.stringify(state))}"></div></body></html>`;
const resolve = (html: string) => resolveInertiaPage({ html, url: PAGE });
const refusedAs = (reason: string) => (error: unknown) => error instanceof SourceError && error.reason === reason;

const ADDRESS = "https://cdn.test/v/1.mp4?X-Amz-Date=20260101T000000Z&X-Amz-Expires=3600&X-Amz-Signature=ab";

Deno.test("the address of the page's state, its expiry and its page as referer", () => {
  const resolved = resolve(
    page({ component: "Watch", props: { url: ADDRESS, title: `"It's" <b>` }, url: "/watch/1" }),
  );
  assert.equal(resolved?.url, ADDRESS);
  assert.equal(resolved?.kind, "mp4");
  assert.equal(resolved?.expiresAt, Date.UTC(2026, 0, 1, 1) / 1000);
  assert.deepEqual(resolved?.headers, { referer: "https://films.test/" });
});

Deno.test("a single-quoted attribute holds JSON as it is", () => {
  assert.equal(
    (resolve(`<div data-page='{"props":{"url":"/v/2.m3u8"}}'></div>`))?.url,
    "https://films.test/v/2.m3u8",
  );
});

Deno.test("no address, with or without the word subscription → subscription", () => {
  assert.throws(() => resolve(page({ props: { url: null } })), refusedAs("subscription"));
  assert.throws(
    () => resolve(page({ props: { url: null, requires_subscription: true } })),
    refusedAs("subscription"),
  );
});

Deno.test("invalid JSON, or JSON of other types → parse", () => {
  assert.throws(() => resolve(`<div data-page="{&quot;props&quot;:"></div>`), refusedAs("parse"));
  assert.throws(() => resolve(page({ props: { url: 5 } })), refusedAs("parse"));
  assert.throws(() => resolve(page({ nothing: true })), refusedAs("parse"));
});

Deno.test("a page without the attribute is left to other resolvers", () => {
  assert.equal(resolve("<div data-pages='{}'></div>"), null);
  assert.equal(resolve("<div data-page='7'></div>"), null);
  assert.equal(resolve(page({ props: { title: "About us" } })), null);
});
