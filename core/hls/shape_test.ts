import assert from "node:assert/strict";
import { shapeRewriter } from "./shape.ts";

const shape = shapeRewriter({ directory: "https://a.test/v+1/", query: "?t=(1)", head: "H/", tail: "%3Ft" });
const address = (name: string) => `https://a.test/v+1/${name}?t=(1)`;

Deno.test("shapeRewriter: addresses of the shape are rewritten, titles, comments, blank lines and plain tags are copied", () => {
  const copied = ["#EXTINF:4,URI=?t=(1)", "# {$x}", "", " \t", "#EXT-X-BYTERANGE:1@2", "#EXT-X-DISCONTINUITY"];
  for (const end of ["\n", "\r\n"]) {
    const block = ["", ...copied, address("a-1_~.ts"), ...copied, address("b")].join(end);
    assert.equal(shape.rewrite(block), ["", ...copied, "H/a-1_~.ts%3Ft", ...copied, "H/b%3Ft"].join(end));
  }
});

const others = [
  "a.ts",
  "https://a.test/vv1/a?t=(1)",
  address("%41"),
  address("ü"),
  address("c/d"),
  address(".."),
  address(""),
  address("a") + " ",
  address("a") + "&u=2",
  "https://a.test/v+1/a",
  "https://worker.test/proxy?url=x",
  '#EXT-X-KEY:METHOD=AES-128,URI="k"',
  '#EXT-X-DATERANGE:ID="a",X-ASSET-LIST="l"',
  '#EXT-X-DEFINE:NAME="x",VALUE="y"',
  '#EXT-X-SESSION-DATA:VALUE="{$x}"',
];
for (const other of others) {
  Deno.test(`shapeRewriter: a block that holds ${JSON.stringify(other)} → null`, () => {
    for (const lines of [[other], [address("a"), other, address("b")], [address("a"), other]]) {
      assert.equal(shape.rewrite(["", ...lines].join("\n")), null);
    }
  });
}
