// How a page may be written: quotes, white space, order of attributes, character references, kinds of URLs, decoys.
// Example: VARIANTS[1].js({ file: "/a" }) → "{file:'/a'}".

export const PAGE_URL = "https://player.test/e/1";
export const EXPIRES = 1893456000;
const QUERY = `?t=a-b_c&expires=${EXPIRES}`;

export interface Link {
  /** As written in the page. */
  readonly reference: string;
  /** As resolved. */
  readonly url: string;
}

export interface Variant {
  readonly name: string;
  /** A value as a JavaScript literal. */
  readonly js: (value: unknown) => string;
  /** The attributes of a tag, in the variant's order and quotes. */
  readonly attributes: (attributes: Readonly<Record<string, string | true>>) => string;
  readonly tag: (name: string) => string;
  readonly link: (path: string) => Link;
  /** Statements, with the variant's white space. */
  readonly lines: (...statements: readonly string[]) => string;
  readonly radix: 10 | 36 | 62;
}

interface Style {
  readonly quote: '"' | "'" | "`";
  readonly quotedKeys: boolean;
  readonly pretty: boolean;
  readonly escape: (text: string) => string;
  readonly trailingComma?: boolean;
}

function literal(value: unknown, style: Style, depth = 0): string {
  const { quote, pretty } = style;
  const [newLine, indent] = pretty ? ["\n" + "  ".repeat(depth + 1), "\n" + "  ".repeat(depth)] : ["", ""];
  const end = style.trailingComma ? "," : "";
  if (typeof value === "string") {
    return quote + style.escape(value.replaceAll("\\", "\\\\").replaceAll(quote, `\\${quote}`)) + quote;
  }
  if (Array.isArray(value)) {
    const items = value.map((item) => newLine + literal(item, style, depth + 1));
    return `[${items.join(",")}${items.length > 0 ? end : ""}${indent}]`;
  }
  if (value instanceof Code) return value.text;
  if (typeof value !== "object" || value === null) return String(value);
  const properties = Object.entries(value).map(([name, inner]) => {
    const isPlain = /^[a-z_$][\w$]*$/i.test(name) && !style.quotedKeys;
    const key = isPlain
      ? name
      : literal(name, { ...style, quote: quote === "`" ? '"' : quote, escape: (text) => text });
    return `${newLine}${key}:${pretty ? " " : ""}${literal(inner, style, depth + 1)}`;
  });
  return `{${properties.join(",")}${properties.length > 0 ? end : ""}${indent}}`;
}

/** An expression inside a literal. */
export class Code {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

const plain = (text: string) => text;
const absolute = (path: string): Link => ({
  reference: `https://cdn.test${path}${QUERY}`,
  url: `https://cdn.test${path}${QUERY}`,
});
const entities = (text: string) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

type AttributeStyle = (name: string, value: string) => string;
const doubled: AttributeStyle = (name, value) => `${name}="${entities(value)}"`;
const single: AttributeStyle = (name, value) => `${name}='${value.replaceAll("&", "&amp;").replaceAll("'", "&#39;")}'`;
const bare: AttributeStyle = (name, value) => /^[^\s"'=<>`]+$/.test(value) ? `${name}=${value}` : single(name, value);
const numeric: AttributeStyle = (name, value) =>
  `${name.toUpperCase()} = "${value.replaceAll("&", "&#38;").replaceAll('"', "&#x22;").replaceAll("/", "&#47;")}"`;

function listed(style: AttributeStyle, order: (names: [string, string | true][]) => [string, string | true][]) {
  return (attributes: Readonly<Record<string, string | true>>) =>
    order(Object.entries(attributes)).map(([name, value]) => value === true ? name : style(name, value)).join(" ");
}

const asIs = (names: [string, string | true][]) => names;
const reversed = (names: [string, string | true][]) => names.toReversed();

export const VARIANTS: readonly Variant[] = [
  {
    name: "pretty, double quotes, absolute URLs",
    js: (value) => literal(value, { quote: '"', quotedKeys: false, pretty: true, escape: plain }),
    attributes: listed(doubled, asIs),
    tag: plain,
    link: absolute,
    lines: (...statements) => `\n  ${statements.join(";\n  ")};\n`,
    radix: 62,
  },
  {
    name: "minified, single quotes, protocol-relative URLs",
    js: (value) => literal(value, { quote: "'", quotedKeys: false, pretty: false, escape: plain }),
    attributes: listed(single, reversed),
    tag: plain,
    link: (path) => ({ reference: `//cdn.test${path}${QUERY}`, url: `https://cdn.test${path}${QUERY}` }),
    lines: (...statements) => statements.join(";"),
    radix: 36,
  },
  {
    name: "JSON, escaped slashes, URLs from the root",
    js: (value) =>
      literal(value, { quote: '"', quotedKeys: true, pretty: false, escape: (text) => text.replaceAll("/", "\\/") }),
    attributes: listed(bare, asIs),
    tag: plain,
    link: (path) => ({ reference: `${path}${QUERY}`, url: `https://player.test${path}${QUERY}` }),
    lines: (...statements) => `"use strict";${statements.join(";")}`,
    radix: 10,
  },
  {
    name: "relative URLs, comments between the statements",
    js: (value) => literal(value, { quote: "'", quotedKeys: true, pretty: true, escape: plain, trailingComma: true }),
    attributes: listed(doubled, reversed),
    tag: plain,
    link: (path) => ({ reference: `..${path}${QUERY}`, url: `https://player.test${path}${QUERY}` }),
    lines: (...statements) =>
      `\n// file: "https://decoy.test/old.mp4"\n${
        statements.join(`\n/* sources: [{ file: "https://decoy.test/older.m3u8" }] */\n`)
      }\n`,
    radix: 62,
  },
  {
    name: "upper-case tags, numeric references, escapes, template strings",
    js: (value) =>
      literal(value, {
        quote: "`",
        quotedKeys: false,
        pretty: true,
        escape: (text) => text.replaceAll("&", "\\u0026").replaceAll(":", "\\x3a"),
      }),
    attributes: listed(numeric, reversed),
    tag: (name) => name.toUpperCase(),
    link: absolute,
    lines: (...statements) => `(function () {\n${statements.join("\n")}\n})();`,
    radix: 36,
  },
];

/** Media that is not the video: each page has all of it. */
export const DECOYS = `
<!-- <script>jwplayer("vplayer").setup({ file: "https://decoy.test/commented.mp4" })</script> -->
<!-- <video src="https://decoy.test/commented.mp4"></video> -->
<meta property="og:image" content="https://decoy.test/poster.jpg">
<link rel="preload" as="image" href="https://decoy.test/poster.jpg">
<script type="application/ld+json">{"@type":"Movie","trailer":{"@type":"VideoObject","contentUrl":"https://decoy.test/ld.mp4"}}</script>
<script type="text/template"><video src="https://decoy.test/template.mp4"></video></script>
<template><video src="https://decoy.test/template.mp4"></video></template>
<script>
  var adConfig = { file: "https://decoy.test/ad-break.mp4", vast: "https://decoy.test/vast.xml" };
  var trailerUrl = "https://decoy.test/film.m3u8", previewVideo = { sources: [{ src: "https://decoy.test/p.mp4" }] };
  showAd({ file: "https://decoy.test/a.mp4" });
  jwplayer("trailer-player").setup({ file: "https://decoy.test/t.m3u8" });
  thumbnails({ file: "https://decoy.test/sprite.mp4" });
  function later(url) { return url; }
</script>
<div id="trailer-modal" class="modal"><div><video src="https://decoy.test/modal.mp4" controls></video></div></div>
<video class="hero-background" autoplay muted loop><source src="https://decoy.test/loop.mp4" type="video/mp4"></video>
<div class="ads"><video data-src="https://decoy.test/x.mp4"></video></div>
<img src="/poster.jpg" alt="">
`;
