// Pages that are expensive to parse, by length in characters. Example: HOSTILE_PAGES.depth(1000) → "<div><div>…".

const fill = (unit: string) => (characters: number) => unit.repeat(Math.ceil(characters / unit.length));

/** Each may be cut off at any length. */
export const HOSTILE_PAGES = {
  "depth": fill("<div>"),
  "depth of what ends by itself": fill("<p><span>"),
  "attributes of one element": (characters: number) => `<div ${fill("a=1 ")(characters)}`,
  "elements with attributes": fill("<i a b c>"),
  "comments that never end": fill("<!-- <a "),
  "quotes that never end": fill(`<a href="`),
  "tags that never end": fill("<a <b "),
  "scripts that never end": fill("<script></scrip"),
  "titles that never end": fill("<title></titl"),
  "end tags of nothing": fill("</div></p>"),
  "angle brackets": fill("<"),
  "character references": fill(`<a href="&amp;&#x41;&#9999999;&nosuch;">`),
  "options of select-base64": (characters: number) =>
    `<select class="mirror">${fill('<option value="YQ==">1')(characters)}`,
  "options of admin-ajax": fill(`<div class="east_player_option" data-post="1" data-nume="1" data-type="x">`),
  "episodes within episodes": (characters: number) =>
    `<div id="daftarepisode">${fill('<li><span class="lchx"><a href="/1">1')(characters)}`,
  "iframes": fill(`<iframe src="//a.test/">`),
  "frames of nothing": fill(`<iframe data-src=javascript: src=about:blank>`),
  "state that is no JSON": (characters: number) => `<div data-page='${fill("{&quot;props&quot;:")(characters)}'>`,
  "attribute names without values": fill("data-page   "),
  "blanks": fill(" \n\t"),
} as const satisfies Readonly<Record<string, (characters: number) => string>>;
