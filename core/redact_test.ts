import assert from "node:assert/strict";
import { redactText, redactUrl } from "./redact.ts";

Deno.test("redactUrl: user information, query, fragment → removed", () => {
  assert.equal(redactUrl("https://u:p@cdn.test:8080/a/b.mp4?X-Amz-Signature=1#key"), "https://cdn.test:8080/a/b.mp4?…");
  assert.equal(redactUrl("https://mega.test/embed/abc#AAECAw"), "https://mega.test/embed/abc");
  assert.equal(redactUrl("data:text/plain,secret"), "data:…");
  assert.equal(redactUrl("not a URL"), "…");
});

Deno.test("redactText: tokens, bearer values, queries → removed", () => {
  const text = redactText(
    "GET https://cdn.test/a?sig=topsecret1 with Authorization: Bearer topsecret2 and hf_topsecret3, sb_secret_topsecret4, " +
      "eyJhbGciOiJIUzI1NiJ9.eyJ0b3BzZWNyZXQ1In0.topsecret6 path /x?token=topsecret7&a=1",
  );
  assert.ok(!text.includes("topsecret"), text);
  assert.ok(text.includes("https://cdn.test/a?…") && text.includes("a=1"));
});
