import assert from "node:assert/strict";
import { parseMegaChallenge } from "./mega_challenge.ts";

const TOKEN = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v";

Deno.test("parseMegaChallenge: easiness → threshold and expected passes", () => {
  for (const [easiness, threshold, passes] of [[192, 2 ** 24, 256], [0, 8, 477218588], [255, 127 * 2 ** 24, 2]]) {
    const challenge = parseMegaChallenge(`1:${easiness}:1765000000:${TOKEN}`);
    assert.deepEqual([challenge?.threshold, Math.round(challenge?.expectedPasses ?? 0)], [threshold, passes]);
    assert.deepEqual([...challenge!.tokenBytes], Array.from({ length: 48 }, (_, i) => i));
  }
});

Deno.test("parseMegaChallenge: another version, easiness or token → null", () => {
  for (
    const text of [
      "",
      "1",
      `2:192:1765000000:${TOKEN}`,
      `1:256:1765000000:${TOKEN}`,
      `1:-1:1765000000:${TOKEN}`,
      `1:1e2:1765000000:${TOKEN}`,
      `1:192:1765000000:${TOKEN.slice(1)}`,
      `1:192:1765000000:${TOKEN}A`,
      `1:192:1765000000:${TOKEN.repeat(1000)}`,
      `1:192:${"9".repeat(1000)}:${TOKEN}`,
      `1:192:1765000000:${"!".repeat(64)}`,
      `1:192:1765000000:${TOKEN}:x`,
      `1:192:${TOKEN}`,
    ]
  ) {
    assert.equal(parseMegaChallenge(text), null, text.slice(0, 90));
  }
});
