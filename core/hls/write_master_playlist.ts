/**
 * Writes a multivariant playlist: video variants with groups of audio and subtitles. Audio of each codec is a group of its own, and each
 * variant is listed once per group: a player skips codecs that it lacks. Pure. RFC 8216 §4.3.4.
 * Example: one 720p variant, AAC and AC-3 in two languages → four EXT-X-MEDIA and two EXT-X-STREAM-INF.
 */
export interface AudioRendition {
  readonly codec: string;
  readonly name: string;
  readonly language: string | null;
  readonly isDefault: boolean;
  readonly channels: number | null;
  /** Bits per second: the largest of a segment, and the average. */
  readonly bandwidth: number;
  readonly averageBandwidth: number;
  readonly uri: string;
}

export interface SubtitleRendition {
  readonly name: string;
  readonly language: string | null;
  readonly isDefault: boolean;
  readonly forced: boolean;
  readonly uri: string;
}

export interface VideoVariant {
  readonly codec: string;
  readonly width: number;
  readonly height: number;
  readonly frameRate: number | null;
  readonly bandwidth: number;
  readonly averageBandwidth: number;
  readonly uri: string;
  readonly iFrames: { readonly uri: string; readonly bandwidth: number } | null;
}

export interface Master {
  /** None: audio only. */
  readonly variants: readonly VideoVariant[];
  readonly audio: readonly AudioRendition[];
  readonly subtitles: readonly SubtitleRendition[];
}

export function writeMasterPlaylist({ variants, audio, subtitles }: Master): string {
  const groups = [...new Set(audio.map(({ codec }) => codec))].map((codec, i) => ({
    id: `aud${i}`,
    codec,
    renditions: audio.filter((rendition) => rendition.codec === codec),
  }));
  const subtitleGroup = subtitles.length === 0 ? [] : [`SUBTITLES="sub"`];
  const own = groups.length === 0 ? [null] : groups;
  const lines = [
    "#EXTM3U",
    "#EXT-X-VERSION:7",
    "#EXT-X-INDEPENDENT-SEGMENTS",
    ...groups.flatMap(({ id, renditions }) => audioLines(id, renditions)),
    ...subtitleLines(subtitles),
    ...own.flatMap((group) =>
      variants.flatMap((variant) => [
        tag("EXT-X-STREAM-INF", [...variantAttributes(variant, group), ...subtitleGroup]),
        variant.uri,
      ])
    ),
    ...variants.flatMap(iFrameLines),
    ...(variants.length > 0 ? [] : groups.flatMap((group) => [
      tag("EXT-X-STREAM-INF", [
        ...bandwidths(peaks(group.renditions)),
        `CODECS="${group.codec}"`,
        `AUDIO="${group.id}"`,
        ...subtitleGroup,
      ]),
      group.renditions[0]!.uri,
    ])),
  ];
  return [...lines, ""].join("\n");
}

interface Group {
  readonly id: string;
  readonly codec: string;
  readonly renditions: readonly AudioRendition[];
}

function variantAttributes(variant: VideoVariant, group: Group | null): string[] {
  const audio = group === null ? { bandwidth: 0, averageBandwidth: 0 } : peaks(group.renditions);
  return [
    ...bandwidths({
      bandwidth: variant.bandwidth + audio.bandwidth,
      averageBandwidth: variant.averageBandwidth + audio.averageBandwidth,
    }),
    `CODECS="${[variant.codec, ...(group === null ? [] : [group.codec])].join(",")}"`,
    `RESOLUTION=${variant.width}x${variant.height}`,
    ...(variant.frameRate === null ? [] : [`FRAME-RATE=${variant.frameRate.toFixed(3)}`]),
    ...(group === null ? [] : [`AUDIO="${group.id}"`]),
  ];
}

function iFrameLines({ codec, width, height, iFrames }: VideoVariant): string[] {
  if (iFrames === null) return [];
  return [
    tag("EXT-X-I-FRAME-STREAM-INF", [
      `BANDWIDTH=${Math.max(1, Math.ceil(iFrames.bandwidth))}`,
      ...[`CODECS="${codec}"`, `RESOLUTION=${width}x${height}`, `URI="${iFrames.uri}"`],
    ]),
  ];
}

function audioLines(group: string, renditions: readonly AudioRendition[]): string[] {
  const names = uniqueNames(renditions);
  const chosen = renditions.find(({ isDefault }) => isDefault) ?? renditions[0];
  return renditions.map((rendition, i) =>
    tag("EXT-X-MEDIA", [
      ...["TYPE=AUDIO", `GROUP-ID="${group}"`, `NAME="${quotable(names[i]!)}"`, ...languageOf(rendition)],
      ...[`DEFAULT=${yes(rendition === chosen)}`, "AUTOSELECT=YES"],
      ...(rendition.channels === null ? [] : [`CHANNELS="${rendition.channels}"`]),
      `URI="${rendition.uri}"`,
    ])
  );
}

function subtitleLines(renditions: readonly SubtitleRendition[]): string[] {
  const names = uniqueNames(renditions);
  const chosen = renditions.find(({ isDefault }) => isDefault);
  return renditions.map((rendition, i) =>
    tag("EXT-X-MEDIA", [
      ...["TYPE=SUBTITLES", `GROUP-ID="sub"`, `NAME="${quotable(names[i]!)}"`, ...languageOf(rendition)],
      ...[`DEFAULT=${yes(rendition === chosen)}`, "AUTOSELECT=YES", `FORCED=${yes(rendition.forced)}`],
      `URI="${rendition.uri}"`,
    ])
  );
}

function languageOf({ language }: { readonly language: string | null }): string[] {
  return language === null ? [] : [`LANGUAGE="${quotable(language)}"`];
}

/** RFC 8216 §4.3.4.1: names differ within a group. */
function uniqueNames(renditions: readonly { readonly name: string }[]): string[] {
  const used = new Set<string>();
  return renditions.map(({ name }) => {
    let unique = name;
    for (let number = 2; used.has(unique); number++) unique = `${name} ${number}`;
    used.add(unique);
    return unique;
  });
}

/** A quoted string has no quotes and no line ends. */
function quotable(text: string): string {
  return text.replaceAll('"', "'").replace(/\p{Cc}/gu, " ");
}

function peaks(renditions: readonly AudioRendition[]): { bandwidth: number; averageBandwidth: number } {
  return {
    bandwidth: Math.max(...renditions.map(({ bandwidth }) => bandwidth)),
    averageBandwidth: Math.max(...renditions.map(({ averageBandwidth }) => averageBandwidth)),
  };
}

function bandwidths({ bandwidth, averageBandwidth }: { bandwidth: number; averageBandwidth: number }): string[] {
  return [
    `BANDWIDTH=${Math.max(1, Math.ceil(bandwidth))}`,
    `AVERAGE-BANDWIDTH=${Math.max(1, Math.ceil(averageBandwidth))}`,
  ];
}

function yes(value: boolean): string {
  return value ? "YES" : "NO";
}

function tag(name: string, attributes: readonly string[]): string {
  return `#${name}:${attributes.join(",")}`;
}
