/** Time expressions of TTML. Pure. W3C TTML1 §10.3.1. Example: `parseTtmlTime("36f", { frame: 24, tick: 1 })` → 1.5. */

/** Per second. */
export interface TtmlRates {
  readonly frame: number;
  readonly tick: number;
}

/** The rates that the `tt` element states; 30 frames and one tick otherwise. */
export function ratesOf(attributes: Readonly<Record<string, string>>): TtmlRates {
  const number = (name: string) => Number(attributes[name]) || null;
  const [numerator, denominator] = (attributes["frameRateMultiplier"] ?? "").trim().split(/[\s:]+/).map(Number);
  const multiplier = numerator && denominator ? numerator / denominator : 1;
  const frame = (number("frameRate") ?? 30) * multiplier;
  const subFrames = number("subFrameRate") ?? 1;
  return { frame, tick: number("tickRate") ?? (attributes["frameRate"] === undefined ? 1 : frame * subFrames) };
}

/** `00:00:01.5`, `00:00:01:12` (frames), `1.5s`, `36f`, `10000000t`. Seconds; null if absent or invalid. */
export function parseTtmlTime(text: string | undefined, { frame, tick }: TtmlRates): number | null {
  const clock = /^(\d{2,6}):(\d{2}):(\d{2})(?:(\.\d{1,12})|:(\d{1,6})(?:\.\d{1,6})?)?$/.exec(text?.trim() ?? "");
  if (clock !== null) {
    const [, hours, minutes, seconds, fraction = "0", frames = "0"] = clock;
    return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds) + Number(fraction) + Number(frames) / frame;
  }
  const offset = /^(\d{1,15}(?:\.\d{1,12})?)(h|ms|m|s|f|t)$/.exec(text?.trim() ?? "");
  if (offset === null) return null;
  const unit = { h: 3600, m: 60, s: 1, ms: 0.001, f: 1 / frame, t: 1 / tick }[offset[2]!]!;
  return Number(offset[1]) * unit;
}
