import assert from "node:assert/strict";
import * as megajs from "megajs";
import { readClip } from "../../dev/emulators/origin/clip.ts";
import { ranged, startFetchFixture } from "../../dev/testing/fetch_fixture.ts";
import { encryptLikeMega } from "../../dev/emulators/sites/mega_file.ts";
import { guardedMegaApi, MEGA_NODE, megaApi } from "../../dev/emulators/sites/mega_site.ts";
import { parseMegaChallenge } from "../../sources/resolvers/mega_challenge.ts";
import { solveMegaChallenge } from "./mega_proof.ts";

const FILE = { g: "https://storage.test/dl/xyz", s: 1234, at: "AAAA" };
const challenge = (easiness: number) =>
  parseMegaChallenge(`1:${easiness}:1765000000:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj9AQUJDREVGR0hJSktMTU5P`)!;

Deno.test("proof of work: megajs, the real client → accepted by the emulator", async () => {
  const { site, proofs } = guardedMegaApi(megaApi([FILE]).site, { easiness: 255, form: "header" });
  const fetch = (input: string, init?: RequestInit) => site(new Request(input, init), new URL(input));
  type Api = { request(command: unknown): Promise<unknown> };
  // megajs' types point at URLs; this declares what is used here.
  const Api = megajs.API as unknown as new (keepalive: boolean, options: unknown) => Api;
  const api = new Api(false, { gateway: "https://api.test/", fetch });
  assert.deepEqual(await api.request({ a: "g", g: 1, p: MEGA_NODE }), FILE);
  assert.deepEqual(proofs, ["none", "right"]);
});

Deno.test("proof of work: other tasks run between two tries", async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const prefix = await solveMegaChallenge(challenge(192), new AbortController().signal);
  clearInterval(timer);
  const passes = new DataView(Uint8Array.fromBase64(prefix, { alphabet: "base64url" }).buffer).getUint32(0) + 1;
  assert.ok(passes > 10 && turns > passes / 2, `${turns} turns in ${passes} passes`);
});

Deno.test("proof of work: aborted → ends after the current try", async () => {
  const stop = new AbortController();
  const solving = solveMegaChallenge({ ...challenge(192), threshold: -1 }, stop.signal);
  setTimeout(() => stop.abort(new Error("no longer wanted")), 0);
  await assert.rejects(solving, /no longer wanted/);
});

for (const [form, easiness] of [["header", 192], ["json", 255]] as const) {
  Deno.test(`proof of work: a mega link (${form}, ${easiness}) → archived`, async () => {
    const clip = await readClip();
    const { cipher, key } = await encryptLikeMega(clip.mp4);
    const files: { g?: string; s: number } = { s: cipher.length };
    const { site, proofs } = guardedMegaApi(megaApi([files]).site, { easiness, form });
    await using fixture = await startFetchFixture((path, request) =>
      path === "/cs" ? site(request, new URL(request.url)) : ranged(request, cipher)
    );
    files.g = `${fixture.url}/dl`;
    const { final, durationSeconds } = await fixture.fetch(`${fixture.url}/embed/${MEGA_NODE}#${key}`, {
      kind: "mega",
      megaApiUrl: fixture.url,
      embedUrl: `${fixture.url}/embed/${MEGA_NODE}#${key}`,
    });
    assert.ok(Math.abs(durationSeconds - 12) < 0.2 && final.sizeBytes > 0);
    assert.deepEqual(proofs, ["none", "right"]);
  });
}

Deno.test("proof of work: too much work required → the last known URL is used", async () => {
  const clip = await readClip();
  const { cipher, key } = await encryptLikeMega(clip.mp4);
  const { site } = guardedMegaApi(megaApi([-9]).site, { easiness: 0, form: "header" });
  await using fixture = await startFetchFixture((path, request) =>
    path === "/cs" ? site(request, new URL(request.url)) : ranged(request, cipher)
  );
  const options = { kind: "mega", megaApiUrl: fixture.url, embedUrl: `${fixture.url}/embed/${MEGA_NODE}#${key}` };
  const { durationSeconds } = await fixture.fetch("/dl", options);
  assert.ok(Math.abs(durationSeconds - 12) < 0.2);
  await assert.rejects(fixture.fetch(options.embedUrl, options), { code: "rate_limited", message: /477218588 passes/ });
});
