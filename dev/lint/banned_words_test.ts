import { strictEqual } from "node:assert/strict";
import { findBannedWords } from "./banned_words.ts";
import { trackedFiles } from "./tracked_files.ts";

Deno.test("banned words: every tracked text → none found", async () => {
  const found: string[] = [];
  for (const { path, text } of await trackedFiles(/\.(?:ts|sql|md|html|css|yaml|jsonc|toml|example)$|Dockerfile$/)) {
    if (path.startsWith("dev/lint/banned_words")) continue;
    for (const { line, word, instead } of findBannedWords(text)) found.push(`${path}:${line} "${word}": ${instead}`);
  }
  strictEqual(found.join("\n"), "");
});

Deno.test("banned words: a sentence with two of them → both, with the line", () => {
  const found = findBannedWords("fine\nWhoever asks waits in vain.\n");
  strictEqual(JSON.stringify(found.map(({ line, word }) => [line, word])), '[[2,"Whoever"],[2,"in vain"]]');
});
