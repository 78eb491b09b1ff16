/**
 * What a sample entry says about its track: the codec as HLS names it, channels, size. Pure.
 * Example: avc1 with avcC 1, 0x64, 0, 0x1f → { codec: "avc1.64001f", width: 1280, height: 720, … }.
 * RFC 6381, RFC 8216 §4.3.4.2; ISO/IEC 14496-15 annex E (avc, hevc), 14496-1 §7.2.6 (esds); AV1 and VP9 codec ISO media bindings.
 */
import { childBoxes } from "../mp4/boxes.ts";
import { NotPresentable } from "./not_presentable.ts";
import { latin1 } from "./track_tables.ts";

export interface SampleEntry {
  readonly codec: string;
  readonly width: number | null;
  readonly height: number | null;
  readonly channels: number | null;
  /** AAC-LC with frames of 1024 samples. */
  readonly isPlainAac: boolean;
}

const VIDEO = new Set(["avc1", "avc3", "hvc1", "hev1", "av01", "vp09"]);
/** Bytes before the boxes of a video and an audio sample entry, with the box header. */
const VIDEO_BOXES_AT = 86;
const AUDIO_BOXES_AT = 36;

/** @throws {NotPresentable} for a codec that HLS players do not read from MP4, and for encrypted ones. */
export function describeEntry(entry: Uint8Array, kind: "video" | "audio"): SampleEntry {
  const type = latin1(entry.subarray(4, 8));
  if (/^enc[vatms]$/.test(type)) throw new NotPresentable(`the ${kind} is encrypted`);
  const view = new DataView(entry.buffer, entry.byteOffset, entry.byteLength);
  const boxesAt = kind === "video" ? VIDEO_BOXES_AT : AUDIO_BOXES_AT;
  const boxes = entry.length < boxesAt ? null : childBoxes(entry, { start: boxesAt, end: entry.length });
  if (boxes === null) throw new NotPresentable(`the sample entry ${printable(type)} cannot be read`);
  const config = (name: string) => {
    const box = boxes.find((box) => box.type === name);
    if (box === undefined) throw new NotPresentable(`the sample entry ${printable(type)} has no ${name}`);
    return entry.subarray(box.body, box.end);
  };
  const nothing = { width: null, height: null, channels: null, isPlainAac: false };
  if (kind === "video") {
    if (!VIDEO.has(type)) throw new NotPresentable(`HLS has no video codec ${printable(type)}`);
    const size = { width: view.getUint16(32), height: view.getUint16(34) };
    return { ...nothing, ...size, codec: videoCodec(type, config) };
  }
  if (view.getUint16(16) !== 0) throw new NotPresentable("the audio has a QuickTime sample entry");
  // Many writers put 2 here whatever the track has: the decoder's configuration counts.
  const channels = view.getUint16(24) || null;
  if (type === "mp4a") {
    const audio = mpeg4Audio(config("esds"));
    return { ...nothing, ...audio, channels: audio.channels ?? channels };
  }
  if (type === "ac-3") return { ...nothing, codec: type, channels: dolbyChannels(config("dac3"), 10) };
  if (type === "ec-3") return { ...nothing, codec: type, channels: dolbyChannels(config("dec3"), 28) };
  if (!["Opus", "fLaC", "alac"].includes(type)) {
    throw new NotPresentable(`HLS has no audio codec ${printable(type)}`);
  }
  return { ...nothing, channels, codec: type };
}

function videoCodec(type: string, config: (name: string) => Uint8Array): string {
  if (type === "avc1" || type === "avc3") return `${type}.${hex(config("avcC").subarray(1, 4))}`;
  if (type === "av01") {
    const [, levels = 0, depths = 0] = config("av1C");
    const bits = depths & 0x40 ? (depths & 0x20 ? 12 : 10) : 8;
    return `av01.${levels >> 5}.${two(levels & 31)}${depths & 0x80 ? "H" : "M"}.${two(bits)}`;
  }
  if (type === "vp09") {
    const [, , , , profile = 0, level = 0, depth = 0] = config("vpcC");
    return `vp09.${two(profile)}.${two(level)}.${two(depth >> 4)}`;
  }
  return hevcCodec(config("hvcC"));
}

/** The compatibility flags are written in reverse bit order, and constraint bytes up to the last that is not 0. */
function hevcCodec(hvcC: Uint8Array): string {
  const first = hvcC[1] ?? 0;
  const space = ["", "A", "B", "C"][first >> 6]!;
  const tier = first & 0x20 ? "H" : "L";
  let flags = 0;
  for (let bit = 0; bit < 32; bit++) {
    if ((hvcC[2 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) flags |= 1 << bit;
  }
  const constraints = [...hvcC.subarray(6, 12)].map((byte) => byte.toString(16));
  while (constraints.at(-1) === "0") constraints.pop();
  const level = `${tier}${hvcC[12] ?? 0}`;
  return ["hvc1", `${space}${first & 31}`, (flags >>> 0).toString(16), level, ...constraints].join(".");
}

const AAC_LC = 2;
const MP3_TYPES = [0x69, 0x6b];

/** By channelConfiguration of ISO/IEC 14496-3. */
const AAC_CHANNELS = [null, 1, 2, 3, 4, 5, 6, 8];
/** By acmod of ETSI TS 102 366. */
const DOLBY_CHANNELS = [2, 1, 2, 3, 3, 4, 4, 5];

/** acmod and lfeon start at a bit of the configuration. */
function dolbyChannels(config: Uint8Array, acmodAt: number): number {
  const bit = (at: number) => ((config[at >> 3] ?? 0) >> (7 - (at & 7))) & 1;
  const acmod = bit(acmodAt) << 2 | bit(acmodAt + 1) << 1 | bit(acmodAt + 2);
  return DOLBY_CHANNELS[acmod]! + bit(acmodAt + 3);
}

function mpeg4Audio(esds: Uint8Array): Pick<SampleEntry, "codec" | "isPlainAac" | "channels"> {
  const decoder = decoderConfig(esds);
  const unknown = { isPlainAac: false, channels: null };
  if (MP3_TYPES.includes(decoder.objectType)) return { ...unknown, codec: "mp4a.40.34" };
  if (decoder.objectType !== 0x40) {
    throw new NotPresentable(`HLS has no audio codec mp4a.${decoder.objectType.toString(16)}`);
  }
  const [a = 0, b = 0] = decoder.specific;
  const type = a >> 3 === 31 ? 32 + ((a & 7) << 3 | b >> 5) : a >> 3;
  if (type === 0) throw new NotPresentable("the audio has no decoder configuration");
  // A frame of 960 samples has this flag, after the sampling frequency index and the channels.
  const short = (b & 4) !== 0;
  const explicitRate = ((a & 7) << 1 | b >> 7) === 15;
  if (explicitRate || type > 30) return { ...unknown, codec: `mp4a.40.${type}` };
  const isPlainAac = type === AAC_LC && !short && decoder.specific.length <= 5;
  return { codec: `mp4a.40.${type}`, isPlainAac, channels: AAC_CHANNELS[b >> 3 & 15] ?? null };
}

function decoderConfig(esds: Uint8Array): { objectType: number; specific: Uint8Array } {
  let at = 4;
  const open = (tag: number) => {
    if (esds[at++] !== tag) throw new NotPresentable("esds cannot be read");
    let length = 0;
    for (let more = true; more;) {
      const byte = esds[at++] ?? 0;
      length = length << 7 | byte & 127;
      more = (byte & 128) !== 0 && at < esds.length;
    }
    return length;
  };
  open(3);
  const flags = esds[at + 2] ?? 0;
  at += 3 + (flags & 0x80 ? 2 : 0);
  if (flags & 0x40) at += 1 + (esds[at] ?? 0);
  if (flags & 0x20) at += 2;
  open(4);
  const objectType = esds[at] ?? 0;
  at += 13;
  if (esds[at] !== 5) return { objectType, specific: new Uint8Array(0) };
  const length = open(5);
  return { objectType, specific: esds.subarray(at, at + length) };
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

function printable(type: string): string {
  return type.replace(/[^\x20-\x7e]/g, "?");
}
