import assert from "node:assert/strict";
import { chapterKind } from "./chapter_kind.ts";

Deno.test("chapterKind: usual titles → their kind; others → null", () => {
  const kinds = {
    intro: ["Intro", "OP", "Opening 2", "OP1", "[Opening credits]", "Title sequence"],
    outro: ["Outro", "ED", "ED2", "Ending theme", "End Credits", "credits"],
    recap: ["Recap", "Previously on…", "The story so far"],
    preview: ["Preview", "Next Episode Preview", "next episode"],
  };
  for (const [kind, titles] of Object.entries(kinds)) {
    for (const title of titles) assert.equal(chapterKind(title), kind, title);
  }
  for (const title of ["Part A", "The Opening of the Gate", "Recap Room", "Opera", "", "x".repeat(1e6), "第1章"]) {
    assert.equal(chapterKind(title), null, title.slice(0, 40));
  }
});
