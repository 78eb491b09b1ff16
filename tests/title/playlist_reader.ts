/** Reads playlists as strictly as RFC 8216 §4 states, independently of core/hls. */
export interface MediaPlaylist {
  readonly problems: readonly string[];
  readonly uris: readonly string[];
  readonly map: { readonly offset: number; readonly bytes: number };
  readonly segments: readonly { readonly offset: number; readonly bytes: number; readonly seconds: number }[];
}

export function parseMedia(text: string): MediaPlaylist {
  const lines = text.split("\n");
  const problems: string[] = [];
  const value = (name: string) => lines.find((line) => line.startsWith(`#${name}:`))?.slice(name.length + 2);
  if (lines[0] !== "#EXTM3U" || lines.at(-1) !== "" || lines.at(-2) !== "#EXT-X-ENDLIST") {
    problems.push("no whole list");
  }
  if (!(Number(value("EXT-X-VERSION")) >= 6)) problems.push("EXT-X-MAP needs version 6");
  const map = /^URI="([^"]+)",BYTERANGE="(\d+)@(\d+)"$/.exec(value("EXT-X-MAP") ?? "");
  if (map === null) return { problems: ["no EXT-X-MAP"], uris: [], map: { offset: 0, bytes: 0 }, segments: [] };
  const target = Number(value("EXT-X-TARGETDURATION"));
  if (!Number.isInteger(target) || target < 1) problems.push("EXT-X-TARGETDURATION is not a whole number");
  const segments: MediaPlaylist["segments"][number][] = [];
  const uris = [map[1]!];
  for (let i = 0; i < lines.length; i++) {
    const seconds = /^#EXTINF:(\d+(?:\.\d+)?),$/.exec(lines[i]!)?.[1];
    if (seconds === undefined) continue;
    const range = /^#EXT-X-BYTERANGE:(\d+)@(\d+)$/.exec(lines[i + 1] ?? "");
    const uri = lines[i + 2] ?? "";
    if (range === null || uri.startsWith("#") || uri === "") problems.push(`line ${i}: a segment without range or URI`);
    if (Math.round(Number(seconds)) > target) problems.push(`EXTINF ${seconds} exceeds the target duration ${target}`);
    uris.push(uri);
    segments.push({ bytes: Number(range?.[1]), offset: Number(range?.[2]), seconds: Number(seconds) });
  }
  if (segments.length === 0) problems.push("no segments");
  return { problems, uris, map: { bytes: Number(map[2]), offset: Number(map[3]) }, segments };
}

export interface MasterPlaylist {
  readonly problems: readonly string[];
  readonly uris: readonly string[];
}

export function parseMaster(text: string): MasterPlaylist {
  const lines = text.split("\n");
  const problems: string[] = [];
  if (lines[0] !== "#EXTM3U") problems.push("master: no #EXTM3U");
  const of = (name: string): Record<string, string | undefined>[] =>
    lines.flatMap((line, i) => line.startsWith(`#${name}:`) ? [{ ...attributes(line), next: lines[i + 1] ?? "" }] : []);
  const [media, variants, iFrames] = [of("EXT-X-MEDIA"), of("EXT-X-STREAM-INF"), of("EXT-X-I-FRAME-STREAM-INF")];
  if (variants.length === 0) problems.push("master: no variant");
  const named = new Set<string>();
  for (const { TYPE, "GROUP-ID": group, NAME, DEFAULT } of media) {
    const key = `${TYPE} ${group} ${NAME}`;
    if (!TYPE || !group || !NAME || named.has(key)) problems.push(`master: ${key} is not unique`);
    named.add(key);
    const defaults = media.filter((one) => one.TYPE === TYPE && one["GROUP-ID"] === group && one.DEFAULT === "YES");
    if (DEFAULT === "YES" && defaults.length > 1) problems.push(`master: ${TYPE} ${group} has two defaults`);
  }
  for (const variant of variants) {
    if (!(Number(variant.BANDWIDTH) > 0) || !variant.CODECS) {
      problems.push("master: a variant lacks BANDWIDTH or CODECS");
    }
    for (const [attribute, type] of [["AUDIO", "AUDIO"], ["SUBTITLES", "SUBTITLES"]] as const) {
      const group = variant[attribute];
      if (group === undefined) continue;
      if (!media.some((one) => one.TYPE === type && one["GROUP-ID"] === group)) {
        problems.push(`master: no group ${group}`);
      }
    }
  }
  const uris = [
    ...media.map(({ URI }) => URI ?? ""),
    ...variants.map(({ next }) => next ?? ""),
    ...iFrames.map(({ URI }) => URI ?? ""),
  ];
  return { problems, uris };
}

function attributes(line: string): Record<string, string | undefined> {
  const found = [...line.matchAll(/([A-Z-]+)=(?:"([^"]*)"|([^",]*))/g)];
  return Object.fromEntries(found.map(([, name, quoted, plain]) => [name!, quoted ?? plain!]));
}
