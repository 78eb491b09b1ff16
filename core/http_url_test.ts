import assert from "node:assert/strict";
import { parseHttpUrl } from "./http_url.ts";

const BASE = "https://site.test/a/";

Deno.test("parseHttpUrl: http and https, absolute or relative → normalized", () => {
  for (
    const [reference, expected] of [
      ["https://cdn.test/a.mp4", "https://cdn.test/a.mp4"],
      [" HTTP://CDN.test:80/a b ", "http://cdn.test/a%20b"],
      ["//cdn.test/a", "https://cdn.test/a"],
      ["\\\\cdn.test\\a", "https://cdn.test/a"],
      ["../b?c#d", "https://site.test/b?c#d"],
      ["https://ünï.test/\u202ex", "https://xn--n-nga1b.test/%E2%80%AEx"],
    ] as const
  ) {
    assert.equal(parseHttpUrl(reference, BASE), expected);
  }
});

Deno.test("parseHttpUrl: another scheme in any spelling → null", () => {
  for (
    const reference of [
      "javascript:alert(1)",
      "JavaScript:alert(1)",
      " javascript:alert(1)",
      "java\nscript:alert(1)",
      "java\tscript:alert(1)",
      "\u0001javascript:alert(1)",
      "javascript://cdn.test/%0aalert(1)",
      "data:text/html,<script>",
      "file:///etc/passwd",
      "file://cdn.test/a.mp4",
      "blob:https://site.test/1",
      "ftp://cdn.test/a",
      "about:blank",
      "vbscript:x",
      "view-source:https://a.test/",
      "filesystem:https://a.test/x",
      "magnet:?xt=urn:btih:1",
      "ws://cdn.test/",
    ]
  ) {
    assert.equal(parseHttpUrl(reference, BASE), null, JSON.stringify(reference));
    assert.equal(parseHttpUrl(reference), null, JSON.stringify(reference));
  }
});

Deno.test("parseHttpUrl: user information, control characters, length → null", () => {
  for (
    const reference of [
      "https://user:secret@cdn.test/",
      "https://user@cdn.test/",
      "https://site.test@evil.test/a.mp4",
      "https://cdn.test/a\nb",
      "https://cdn.test/a\u0000",
      "https://cdn.test/a\u0085b",
      "ht\ntps://cdn.test/",
      `https://cdn.test/${"a".repeat(20_000)}`,
      "https://",
      "https://[::1",
      "",
      "  ",
    ]
  ) {
    assert.equal(parseHttpUrl(reference, BASE), null, JSON.stringify(reference.slice(0, 60)));
  }
  assert.equal(parseHttpUrl("/relative"), null);
});
