/**
 * How widely browsers play the codecs of a CODECS attribute (RFC 6381): 0 is played by all of them. Pure.
 * Example: `rankVideo("hvc1.1.6.L93.B0,mp4a.40.2")` → { rank: 3, name: "HEVC", isRare: true }.
 */
export type CodecRank = {
  readonly rank: number;
  /** null if the codec is unknown. */
  readonly name: string | null;
  /** Some browsers do not play it. */
  readonly isRare: boolean;
};

type Codec = readonly [pattern: RegExp, rank: number, name: string];

const VIDEO: readonly Codec[] = [
  [/^avc[1-4]\b/i, 0, "AVC"],
  [/^(?:vp0?9|av01)\b/i, 2, "VP9 or AV1"],
  [/^(?:hvc|hev)\d?/i, 3, "HEVC"],
  [/^(?:dvh|dva|dav)/i, 4, "Dolby Vision"],
  [/^(?:vp0?8|mp4v|mp2v|s263|vvc)/i, 5, "another video codec"],
];

const AUDIO: readonly Codec[] = [
  [/^(?:mp4a|mp3)\b/i, 0, "AAC"],
  [/^(?:opus|flac|vorbis)/i, 1, "Opus or FLAC"],
  [/^ac-?3/i, 3, "AC-3"],
  [/^e-?a?c-?3/i, 3, "E-AC-3"],
  [/^(?:ac-4|dts|mlp|alac)/i, 4, "another audio codec"],
];

/** Between a codec that all browsers play and one that some do. */
const UNKNOWN: CodecRank = { rank: 1, name: null, isRare: false };

export function rankVideo(codecs: string | null): CodecRank {
  return worstOf(codecs, VIDEO) ?? UNKNOWN;
}

/** Without codecs, by the group's name: encoders name groups after the codec. */
export function rankAudio(codecs: string | null, group: string | null): CodecRank {
  return worstOf(codecs, AUDIO) ?? rankGroup(group);
}

function worstOf(codecs: string | null, known: readonly Codec[]): CodecRank | null {
  const found = (codecs ?? "").split(",").flatMap((codec) => known.filter(([pattern]) => pattern.test(codec.trim())));
  if (found.length === 0) return null;
  const [, rank, name] = found.reduce((a, b) => b[1] > a[1] ? b : a);
  return { rank, name, isRare: rank > 1 };
}

function rankGroup(group: string | null): CodecRank {
  if (/aac/i.test(group ?? "")) return { rank: 0, name: "AAC", isRare: false };
  const codec = /(?:^|[^a-z0-9])(e-?a?c-?3|ac-?3)/i.exec(group ?? "")?.[1] ?? null;
  return worstOf(codec, AUDIO) ?? UNKNOWN;
}
