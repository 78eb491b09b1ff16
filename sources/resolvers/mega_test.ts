import assert from "node:assert/strict";
import { guardedMegaApi, MEGA_KEY, MEGA_LINK, MEGA_NODE, megaApi } from "../../dev/emulators/sites/mega_site.ts";
import { createSites } from "../../dev/emulators/sites/sites.ts";
import { createPageClient } from "../fetch/page_client.ts";
import { SourceError } from "../source_error.ts";
import { type MegaOptions, parseMegaLink, resolveMega } from "./mega.ts";
import type { MegaChallenge } from "./mega_challenge.ts";

function resolve(responses: readonly unknown[], key = MEGA_KEY) {
  const api = megaApi(...responses);
  const { fetch } = createSites({ "api.test": api.site });
  const pauses: number[] = [];
  const result = resolveMega({ node: MEGA_NODE, key }, {
    apiUrl: "https://api.test/",
    pages: createPageClient({ fetch, signal: new AbortController().signal }),
    pause: (ms) => Promise.resolve(void pauses.push(ms)),
  });
  return { result, api, pauses };
}

const FILE = { g: "https://storage.test/dl/xyz", s: 1234, at: "AAAA" };
const refusedAs = (reason: string) => (error: unknown) => error instanceof SourceError && error.reason === reason;

Deno.test("parseMegaLink: current and old form → id and key of the fragment", () => {
  assert.deepEqual(parseMegaLink(MEGA_LINK), { node: MEGA_NODE, key: MEGA_KEY });
  assert.deepEqual(parseMegaLink(`https://drive.test/file/${MEGA_NODE}#${MEGA_KEY}`), {
    node: MEGA_NODE,
    key: MEGA_KEY,
  });
  assert.deepEqual(parseMegaLink(`https://drive.test/embed#!${MEGA_NODE}!${MEGA_KEY}`), {
    node: MEGA_NODE,
    key: MEGA_KEY,
  });
  for (const other of [`https://drive.test/embed/${MEGA_NODE}`, "https://a.test/file/x#y", "not a URL"]) {
    assert.equal(parseMegaLink(other), null);
  }
});

Deno.test("mega: file → its URL, its size and the link's key", async () => {
  assert.deepEqual(await resolve([[FILE]]).result, {
    url: FILE.g,
    kind: "mega",
    headers: {},
    expiresAt: null,
    subtitles: [],
    megaKey: MEGA_KEY,
    sizeBytes: 1234,
  });
});

Deno.test("mega: -3 twice, then the file → two pauses, the second longer", async () => {
  const { result, api, pauses } = resolve([[-3], -4, [FILE]]);
  assert.equal((await result).url, FILE.g);
  assert.equal(api.asked(), 3);
  assert.ok(pauses.length === 2 && pauses[1]! > pauses[0]!);
});

Deno.test("mega: -3 every time → blocked after a bounded number of attempts", async () => {
  const { result, api } = resolve([[-3]]);
  await assert.rejects(result, refusedAs("blocked"));
  assert.equal(api.asked(), 4);
});

Deno.test("mega: API responds with 500 → repeated by the page client alone", async () => {
  const { fetch, requests } = createSites({ "api.test": () => new Response("", { status: 500 }) });
  const result = resolveMega({ node: MEGA_NODE, key: MEGA_KEY }, {
    apiUrl: "https://api.test/",
    pages: createPageClient({ fetch, signal: new AbortController().signal }),
    pause: () => Promise.reject(new Error("not expected")),
  });
  await assert.rejects(result, refusedAs("http_5xx"));
  assert.equal(requests.length, 3);
});

for (const [code, reason] of [[-9, "gone"], [-16, "gone"], [-17, "quota"], [-18, "quota"], [-2, "http_4xx"]] as const) {
  Deno.test(`mega: ${code} → ${reason}, not repeated`, async () => {
    const { result, api } = resolve([[code]]);
    await assert.rejects(result, refusedAs(reason));
    assert.equal(api.asked(), 1);
  });
}

Deno.test("mega: key too short → invalid_input, no request", async () => {
  const { result, api } = resolve([[FILE]], MEGA_KEY.slice(0, 22));
  await assert.rejects(result, refusedAs("invalid_input"));
  assert.equal(api.asked(), 0);
});

Deno.test("mega: response of other types → parse", async () => {
  for (const response of [{}, [], ["x"], [{ g: 5, s: "1" }], [{ s: -1 }], null]) {
    await assert.rejects(resolve([response]).result, refusedAs("parse"));
  }
});

Deno.test("mega: file without a URL → quota", async () => {
  await assert.rejects(resolve([[{ s: 5 }]]).result, refusedAs("quota"));
});

/** The API rejects a wrong proof. */
function resolveGuarded(guard: Parameters<typeof guardedMegaApi>[1], solve?: MegaOptions["solve"]) {
  const { site, proofs } = guardedMegaApi(megaApi([FILE]).site, guard);
  const { fetch } = createSites({ "api.test": site });
  const result = resolveMega({ node: MEGA_NODE, key: MEGA_KEY }, {
    apiUrl: "https://api.test/",
    pages: createPageClient({ fetch, signal: new AbortController().signal }),
    pause: () => Promise.reject(new Error("not expected")),
    ...(solve && { solve }),
  });
  return { result, proofs };
}

/** Of the emulator's own token at easiness 255. */
const SOLVED = "AAAAAA";

for (const form of ["header", "json"] as const) {
  Deno.test(`mega: a proof of work in ${form} form → solved, then the file`, async () => {
    const challenges: MegaChallenge[] = [];
    const { result, proofs } = resolveGuarded(
      { easiness: 255, form },
      (challenge) => (challenges.push(challenge), Promise.resolve(SOLVED)),
    );
    assert.equal((await result).url, FILE.g);
    assert.deepEqual([proofs, challenges.map(({ threshold }) => threshold)], [["none", "right"], [127 * 2 ** 24]]);
  });

  Deno.test(`mega: a proof of work in ${form} form, no solver → blocked`, async () => {
    const { result, proofs } = resolveGuarded({ easiness: 192, form });
    await assert.rejects(result, (error) => {
      assert.ok(error instanceof SourceError && error.retryable);
      assert.deepEqual([error.reason, error.code, error.retryAfterSeconds], ["blocked", "rate_limited", 60]);
      assert.match(error.message, /requires a proof of work, which only the runner solves/);
      return true;
    });
    assert.deepEqual(proofs, ["none"]);
  });

  Deno.test(`mega: proofs of work in ${form} form without end → blocked`, async () => {
    const { result, proofs } = resolveGuarded({ easiness: 192, form }, () => Promise.resolve("_____w"));
    await assert.rejects(
      result,
      (error) => refusedAs("blocked")(error) && /one proof of work after another/.test((error as Error).message),
    );
    assert.deepEqual(proofs, ["none", "wrong", "wrong"]);
  });

  Deno.test(`mega: a hostile challenge in ${form} form → blocked, never solved`, async () => {
    const never = () => Promise.reject(new Error("not expected"));
    for (const easiness of [0, 63, 128, 140, 256, 1e9, NaN]) {
      await assert.rejects(resolveGuarded({ easiness, form }, never).result, refusedAs("blocked"), `${easiness}`);
    }
    for (const token of ["", "A", "!".repeat(64), "A".repeat(1000)]) {
      await assert.rejects(resolveGuarded({ easiness: 192, form, token }, never).result, refusedAs("blocked"), token);
    }
  });
}

Deno.test("mega: -27 or 402 without a challenge → blocked", async () => {
  for (const response of [-27, [-27], [-27, 5], [-27, {}]]) {
    const refused = response instanceof Array && typeof response[1] === "object" ? "parse" : "blocked";
    await assert.rejects(resolve([response]).result, refusedAs(refused), JSON.stringify(response));
  }
  const { fetch } = createSites({ "api.test": () => new Response("", { status: 402 }) });
  const pages = createPageClient({ fetch, signal: new AbortController().signal });
  const options = { apiUrl: "https://api.test", pages, pause: () => Promise.resolve() };
  await assert.rejects(resolveMega({ node: MEGA_NODE, key: MEGA_KEY }, options), refusedAs("blocked"));
});
