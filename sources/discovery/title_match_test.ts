import assert from "node:assert/strict";
import { likeness, matchTitle } from "./title_match.ts";
import { titleIdentity } from "./title_identity.ts";

const hits = (...titles: string[]) =>
  titles.map((title) => ({ title, page: `https://site.test/${encodeURIComponent(title)}` }));
const found = (titles: string | string[], year: number | null, ...candidates: string[]) =>
  matchTitle({ titles: [titles].flat(), year }, hits(...candidates))?.title ?? null;

const IDENTITIES: readonly (readonly [string, string, number, number, number | null])[] = [
  ["Some Title", "some title", 1, 1, null],
  ["Some Title Season 6", "some title", 6, 1, null],
  ["Some Title 2nd Season", "some title", 2, 1, null],
  ["Some Title Second Season Part 2", "some title", 2, 2, null],
  ["Some Title S3", "some title", 3, 1, null],
  ["Some Title III", "some title", 3, 1, null],
  ["Some Title 2", "some title", 2, 1, null],
  ["Psycho 100", "psycho 100", 1, 1, null],
  ["Psycho 100 II", "psycho 100", 2, 1, null],
  ["Some Title (2011)", "some title", 1, 1, 2011],
  ["Some Title 2011", "some title", 1, 1, 2011],
  ["1984", "1984", 1, 1, null],
  ["Nonton Anime Some Title Subtitle Indonesia", "some title", 1, 1, null],
  ["It’s “Some” Title’s", "its some titles", 1, 1, null],
  ["進撃の巨人 Season 2", "進撃の巨人", 2, 1, null],
];

for (const [title, words, season, part, year] of IDENTITIES) {
  Deno.test(`titleIdentity: ${title} → ${words}, season ${season}, part ${part}, year ${year}`, () => {
    assert.deepEqual(titleIdentity(title), { words: words.split(" "), season, part, year });
  });
}

Deno.test("title match: near-equal seasons → the exact one, or none", () => {
  const all = ["Long Running Title Season 6", "Long Running Title Season 7", "Long Running Title"];
  assert.equal(found("Long Running Title 6th Season", null, ...all), all[0]);
  assert.equal(found("Long Running Title Season 7", null, ...all), all[1]);
  assert.equal(found("Long Running Title", null, ...all), all[2]);
  assert.equal(found("Long Running Title Season 5", null, ...all), null);
});

Deno.test("title match: parts → compared like seasons", () => {
  const all = ["Some Title Season 2 Part 1", "Some Title Season 2 Part 2"];
  assert.equal(found("Some Title 2nd Season Part 2", null, ...all), all[1]);
  assert.equal(found("Some Title 2nd Season Part 3", null, ...all), null);
});

Deno.test("title match: title that begins another → neither is taken for it", () => {
  assert.equal(found("Some Rather Long Title Of A Show", null, "Some Rather Long Title Of A Show Zero"), null);
  assert.equal(found("Some Rather Long Title Of A Show Zero", null, "Some Rather Long Title Of A Show"), null);
  assert.equal(found("Alchemist", null, "Alchemist: Brotherhood", "Alchemist"), "Alchemist");
});

Deno.test("title match: only CJK names → found by them", () => {
  assert.equal(found("進撃の巨人", 2013, "進撃の巨人", "巨人の星"), "進撃の巨人");
});

Deno.test("no hit, or none that is like it → none", () => {
  assert.equal(found("Some Title", null), null);
  assert.equal(found("Some Title", null, "Quite Another Thing"), null);
});

Deno.test("title match: sixty results → the right one", () => {
  const many = Array.from({ length: 60 }, (_, index) => `Other Thing ${index + 10} Stories`);
  assert.equal(found("Wanted Thing", null, ...many, "Wanted Thing"), "Wanted Thing");
});

Deno.test("matchTitle: equal names → decided by the year, or none", () => {
  const both = ["Same Name (2011)", "Same Name (2023)"];
  assert.equal(found("Same Name", 2023, ...both), both[1]);
  assert.equal(found("Same Name", 2011, ...both), both[0]);
  assert.equal(found("Same Name", 1999, ...both), null);
  assert.equal(found("Same Name", null, ...both), null);
});

Deno.test("title match: quotes, punctuation, spelling, other names → found", () => {
  assert.equal(found("It's Mine!", null, "It’s Mine"), "It’s Mine");
  assert.equal(found(["Kimi no Na", "Your Name"], null, "Your Name"), "Your Name");
  assert.equal(found("Shingeki no Kyojin", null, "Shingeki no Kyoujin"), "Shingeki no Kyoujin");
});

Deno.test("title match: other number in the title → no match", () => {
  assert.ok(likeness(titleIdentity("Area 88 Story"), titleIdentity("Area 89 Story")) < 0.85);
});
