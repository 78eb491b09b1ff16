// The height that a label states. Example: heightOf("Full HD") → 1080; heightOf("720p60") → 720; heightOf(1080) → 1080.
import type { Value } from "../script/values.ts";

const BY_WORD: Readonly<Record<string, number>> = {
  "8k": 4320,
  "4k": 2160,
  uhd: 2160,
  ultra: 2160,
  "2k": 1440,
  quad: 1440,
  qhd: 1440,
  fullhd: 1080,
  fhd: 1080,
  full: 1080,
  hd: 720,
  high: 720,
  sd: 480,
  medium: 480,
  low: 360,
  lowest: 240,
  mobile: 144,
};

/** Null if the label states none. */
export function heightOf(label: Value | undefined): number | null {
  if (typeof label === "number") return label >= 100 && label <= 4320 ? Math.round(label) : null;
  if (typeof label !== "string" || label.length > 100) return null;
  const size = /(?<!\d)\d{3,4}\s?[x×]\s?(\d{3,4})(?!\d)/i.exec(label) ??
    /(?<!\d)(\d{3,4})(?:p(?:\d\d)?)?(?![\da-z])/i.exec(label);
  const lines = Number(size?.[1]);
  if (lines >= 100 && lines <= 4320) return lines;
  const words = label.toLowerCase().replace(/full[\s_-]?hd/, "fullhd").split(/[^a-z0-9]+/);
  return words.map((word) => BY_WORD[word]).find((height) => height !== undefined) ?? null;
}
