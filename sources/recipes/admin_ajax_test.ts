import assert from "node:assert/strict";
import {
  adminAjaxResponses,
  adminAjaxSite,
  HANGING_RESPONSE,
  nonceSite,
} from "../../dev/emulators/sites/admin_ajax_site.ts";
import { createSites, type Site } from "../../dev/emulators/sites/sites.ts";
import { createPageClient } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";
import { adminAjaxRecipe } from "./admin_ajax.ts";
import { adminAjaxNonceRecipe } from "./admin_ajax_nonce.ts";
import type { Recipe } from "./recipe.ts";

function list(recipe: Recipe, site: Site, signal = new AbortController().signal) {
  const { fetch, requests } = createSites({ "ajax.test": site });
  const provider = { name: "p", recipe: recipe.name, base_url: "https://ajax.test", config: {} };
  const request = { malId: 1, episode: 1, provider, page: "/anime/some-title/", catalogue: null };
  return { listing: recipe.listServers(request, createPageClient({ fetch, signal })), requests };
}

Deno.test("admin-ajax: each option → one browser-like request for its player", async () => {
  const { servers } = await list(adminAjaxRecipe, adminAjaxSite()).listing;
  assert.deepEqual(servers, [
    { label: "Pucuk 720p", embedUrl: "https://player.test/e/1", resolution: "720p" },
    { label: "Bare 480p", embedUrl: "https://bare.test/e/2", resolution: "480p" },
    { label: "Again 360p", embedUrl: "https://again.test/e/5", resolution: "360p" },
  ]);
});

Deno.test("admin-ajax: missing post, 0, challenge page → one failure each", async () => {
  const { failures } = await list(adminAjaxRecipe, adminAjaxSite()).listing;
  assert.deepEqual(failures, [
    { label: "No post", code: "parse" },
    { label: "Zero", code: "empty" },
    { label: "Challenge", code: "blocked" },
  ]);
});

Deno.test("admin-ajax: an option that hangs → timeout of that option", async () => {
  const abort = new AbortController();
  const responses = { ...adminAjaxResponses(), "1": HANGING_RESPONSE };
  const { listing, requests } = list(adminAjaxRecipe, adminAjaxSite(responses), abort.signal);
  // Six POSTs: the first option, which hangs, and four others, one of them repeated.
  const posts = () => requests.filter((one) => one.startsWith("POST")).length;
  for (let turn = 0; turn < 5_000 && posts() < 6; turn++) await new Promise((resolve) => setTimeout(resolve, 2));
  abort.abort(new DOMException("budget used up", "TimeoutError"));
  const { failures } = await listing;
  assert.ok(failures.some((one) => one.label === "Pucuk 720p" && one.code === "timeout"));
});

Deno.test("admin-ajax: any attribute order → the data-URI nonce is sent", async () => {
  for (const swapAttributes of [false, true]) {
    const site = nonceSite({ nonces: ["good"], validNonce: "good", swapAttributes });
    const { servers, failures } = await list(adminAjaxNonceRecipe, site).listing;
    assert.deepEqual(failures, []);
    assert.deepEqual(servers.map((server) => [server.label, server.embedUrl]), [
      ["Alpha 720p", "https://player.test/e/1"],
      ["Player 480p", "https://player.test/e/2"],
    ]);
  }
});

Deno.test("admin-ajax: expired nonce → page fetched once more for all options", async () => {
  const { listing, requests } = list(adminAjaxNonceRecipe, nonceSite({ nonces: ["old", "new"], validNonce: "new" }));
  assert.equal((await listing).servers.length, 2);
  assert.equal(requests.filter((one) => one.endsWith("/some-title-episode-1/")).length, 2);
});

Deno.test("admin-ajax: nonce stays expired → blocked, no third page request", async () => {
  const { listing, requests } = list(adminAjaxNonceRecipe, nonceSite({ nonces: ["old"], validNonce: "other" }));
  assert.deepEqual((await listing).failures.map((one) => one.code), ["blocked", "blocked"]);
  assert.equal(requests.filter((one) => one.endsWith("/some-title-episode-1/")).length, 2);
});

Deno.test("a page without a nonce → parse, the provider's failure", async () => {
  const { listing } = list(adminAjaxNonceRecipe, nonceSite({ nonces: [null], validNonce: "x" }));
  await assert.rejects(listing, (error) => error instanceof SourceError && error.reason === "parse");
});
