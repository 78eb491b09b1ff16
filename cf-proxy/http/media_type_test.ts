import assert from "node:assert/strict";
import { isPlayable, mediaType, servedType } from "./media_type.ts";

const served = (header: string | null) => servedType(header, "application/octet-stream");

Deno.test("media type: one, in any spelling → its lower-case essence", () => {
  const same = [
    "video/mp4",
    "Video/MP4",
    " video/mp4 ;",
    'video/mp4; codecs="avc1.4d401e, mp4a.40.2"',
    "video/mp4,video/mp4;a=b",
  ];
  for (const header of same) assert.deepEqual([mediaType(header), served(header)], ["video/mp4", "video/mp4"], header);
});

Deno.test("media type: several, or ambiguous → text/plain", () => {
  const unclear = [
    "image/png, text/html",
    "text/html, image/png",
    "video/mp4;a=b,text/html",
    'video/mp4; a="b, text/html',
    'video/mp4; a="b\\", text/html',
    'video/mp4; a="b" c, text/html',
    "video/mp4 text/html",
    "video/mp4;;text/html",
    "video",
    "video/",
    ",video/mp4",
    "*/*, text/html",
    `video/mp4; a=${"b".repeat(2000)}`,
  ];
  for (const header of unclear) {
    assert.deepEqual([mediaType(header), served(header)], ["text/plain", "text/plain; charset=utf-8"], header);
  }
});

Deno.test("media type: script, style sheet or document → text/plain", () => {
  const active = [
    ...["text/html", "application/xhtml+xml", "image/svg+xml", "video/x+xml", "audio/x+xml", "application/dash+xml"],
    ...[
      "text/xml",
      "application/xml",
      "text/xsl",
      "text/css",
      "text/javascript",
      "application/wasm",
      "application/pdf",
    ],
    ...[
      "multipart/x-mixed-replace; boundary=b",
      "multipart/related; boundary=b",
      "message/rfc822",
      "text/cache-manifest",
    ],
    ...[
      "application/manifest+json",
      "application/problem+json",
      "application/x-shockwave-flash",
      "multipart/byteranges",
    ],
  ];
  for (const header of active) {
    assert.equal(served(header), "text/plain; charset=utf-8", header);
    assert.equal(isPlayable(mediaType(header)), false, header);
  }
});

Deno.test("media type: data for players → kept, with charset or boundary only", () => {
  for (const header of ["application/json", "text/vtt; charset=utf-8", "multipart/byteranges; boundary=B"]) {
    assert.equal(served(header), header);
  }
  assert.equal(served('text/vtt; charset="utf-8"; x=y'), "text/vtt; charset=utf-8");
  assert.equal(served("application/vnd.apple.mpegurl"), "application/vnd.apple.mpegurl");
  for (const header of [null, "", "application/octet-stream"]) {
    assert.equal(servedType(header, "video/mp4"), "video/mp4");
  }
});

Deno.test("media type: container as application, video as text → media type", () => {
  for (const container of ["application/ogg", "application/x-matroska", "application/mp4"]) {
    assert.deepEqual([served(container), isPlayable(container)], [container, true]);
  }
  assert.equal(servedType("text/plain; charset=utf-8", "video/mp4"), "video/mp4");
  assert.equal(servedType("text/plain", "text/vtt"), "text/vtt");
  assert.equal(servedType("text/plain", "application/x-subrip"), "text/plain");
  assert.equal(servedType("text/plain, text/html", "video/mp4"), "text/plain; charset=utf-8");
});

Deno.test("media type: 100,000 spaces or semicolons → text/plain quickly", () => {
  for (const filler of [" ", ";", "; ", '="', "a/b,"]) {
    assert.equal(served(`video/mp4${filler.repeat(100_000)}!`), "text/plain; charset=utf-8");
  }
});
