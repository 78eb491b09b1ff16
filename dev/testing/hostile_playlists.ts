/**
 * Playlists that are slow to parse, in any length. For the linear-time test and the benchmark.
 * `HOSTILE_PLAYLISTS["blank lines"](4 * MiB)`
 */

type Shape = (length: number) => string;

const START = "#EXTM3U\n";

/** `head`, then `unit` repeated up to `length` characters. */
function repeat(unit: string, { head = START, tail = "" } = {}): Shape {
  return (length) => head + unit.repeat(Math.max(0, Math.ceil((length - head.length) / unit.length))) + tail;
}

/** Like `repeat`, with lines that all differ. */
function numbered(line: (n: number) => string, head = START): Shape {
  return (length) => {
    const lines = [head];
    for (let n = 0, size = head.length; size < length; n++) {
      const text = line(n);
      lines.push(text);
      size += text.length;
    }
    return lines.join("");
  };
}

const SEGMENT = "#EXTINF:4,\n";

export const HOSTILE_PLAYLISTS: Readonly<Record<string, Shape>> = {
  "blank lines": repeat("\n"),
  "blank lines with CRLF": repeat("\r\n"),
  "carriage returns alone": repeat("\r"),
  "lines of blanks": repeat(" \t \n"),
  "blanks, then a URL": repeat(`${" ".repeat(500)}a\n`),
  "one line of letters": repeat("a"),
  "one line of slashes": repeat("/"),
  "one line of percent signs": repeat("%"),
  "one line of backslashes": repeat("\\"),
  "one line beyond Latin-1": repeat("界"),
  "one line of lone surrogates": repeat("\ud800"),
  "one comment": repeat("#"),
  "comments": repeat("#\n"),
  "commas": repeat(",", { head: `${START}#EXT-X-MEDIA:URI="a"` }),
  "quotes": repeat('"', { head: `${START}#EXT-X-MEDIA:URI="a",` }),
  "equals signs": repeat("=", { head: `${START}#EXT-X-MEDIA:URI="a",` }),
  "empty attributes": repeat("A=,", { head: `${START}#EXT-X-MEDIA:URI="a",` }),
  "quoted attributes": repeat('A="",', { head: `${START}#EXT-X-MEDIA:URI="a",` }),
  "URLs in one tag": repeat('URI="a",', { head: `${START}#EXT-X-MEDIA:` }),
  "an attribute without an end": repeat("a", { head: `${START}#EXT-X-MEDIA:URI="` }),
  "attributes without an end": repeat('#EXT-X-MEDIA:URI="a\n'),
  "tags of empty attributes": repeat('#EXT-X-MEDIA:A=,B=,C=,URI="a"\n'),
  "tags of many empty attributes": repeat(`#EXT-X-MEDIA:${"A=,".repeat(250)}URI="a"\n`),
  "keys of many systems": numbered((n) => `#EXT-X-KEY:METHOD=AES-128,URI="k${n}",KEYFORMAT="x"\n`),
  "one key": repeat('#EXT-X-KEY:METHOD=AES-128,URI="k",KEYFORMAT="x"\n'),
  "initialisation sections": repeat('#EXT-X-MAP:URI="i"\n'),
  "durations without segments": repeat(SEGMENT),
  "long durations": repeat("#EXTINF:" + "1".repeat(1000) + "\n"),
  "byte ranges": repeat("#EXT-X-BYTERANGE:1@1\n"),
  "short URLs": repeat(`${SEGMENT}a\n`),
  "URLs without durations": repeat("a\n"),
  "URLs to be encoded": repeat(`${SEGMENT}%\n`),
  "URLs to be encoded, without durations": repeat("%\n"),
  "a directory each": numbered((n) => `${SEGMENT}d${n}/a\n`),
  "a directory each, without durations": numbered((n) => `${n}/a\n`),
  "an origin each": numbered((n) => `${SEGMENT}https://h${n}.test/a\n`),
  "an encoded separator each": numbered((n) => `${SEGMENT}a%2f${n}\n`),
  "an encoded blank each": numbered((n) => `${SEGMENT}a%20${n}\n`),
  "a query each": numbered((n) => `${SEGMENT}a?${n}\n`),
  "parent directories": repeat(`${SEGMENT}../../a\n`),
  "deep directories": repeat(`${SEGMENT}${"a/".repeat(1000)}b\n`),
  "two shapes in turn": repeat(`${SEGMENT}a\n${SEGMENT}https://b.test/b?c\n`),
  "two directories in turn": repeat("a/a\nb/a\n"),
  "short lines before long ones": repeat(`${"a\n".repeat(500)}#${"x".repeat(16_000)}\n`),
  "invalid URLs": repeat(`${SEGMENT}http://[\n`),
  "inline data": repeat(`${SEGMENT}data:,x\n`),
  "our own links": repeat(`${SEGMENT}https://worker.test/proxy?x\n`),
  "variables that are never closed": repeat("{$", { head: `${START}#` }),
  "variables": repeat(`${SEGMENT}{$x}\n`, { head: `${START}#EXT-X-DEFINE:NAME="x",VALUE="y"\n` }),
  "variables in one line": repeat("{$x}", { head: `${START}#EXT-X-DEFINE:NAME="x",VALUE=""\n#EXT-X-A:` }),
  "definitions": numbered((n) => `#EXT-X-DEFINE:NAME="x${n}",VALUE="y"\n`),
  "variants": repeat("#EXT-X-STREAM-INF:BANDWIDTH=1\na\n"),
  "renditions": repeat('#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="b",URI="c"\n'),
  "variants without a URL": repeat("#EXT-X-STREAM-INF:BANDWIDTH=1\n"),
  "discontinuities": repeat("#EXT-X-DISCONTINUITY\n"),
  "a list that has ended, of one line": repeat("#EXTINF:", { tail: "\n#EXT-X-ENDLIST\n" }),
  "a list that has ended, without directories": repeat(`${SEGMENT}a?b\n`, { tail: "#EXT-X-ENDLIST\n" }),
  "a list that has ended, of queries": repeat('URI="?', { tail: "\n#EXT-X-ENDLIST\n" }),
};
