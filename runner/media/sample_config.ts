/**
 * What a sample entry says about its samples, to compare parts of a stream. Pure. ISO/IEC 14496-12 §8.5.2, 14496-15 §5.3.3 (avcC),
 * 14496-14 §6.7.2 (esds). Example: an mp4a entry of 44.1 kHz mono → { codec: "aac", rate: 44100, channels: 1, key: "aac 44100 1 1208" }.
 */
import { childBoxes } from "../mp4/boxes.ts";

/** Bytes of a sample entry before its boxes, with the box header. */
const VISUAL_ENTRY_BYTES = 86;
const AUDIO_ENTRY_BYTES = 36;
/** Objects of esds that are not AAC. */
const MP3_OBJECT_TYPES = new Set([0x69, 0x6b]);
const CONFIG_BOXES = new Set(["avcC", "hvcC", "vpcC", "av1C", "dac3", "dec3", "dOps", "dfLa"]);
const VISUAL = new Set(["avc1", "avc3", "hvc1", "hev1", "vp09", "av01", "mp4v", "vp08", "dvh1", "dvhe"]);
/** AAC-LC; 5 and 29 are HE-AAC. */
const AAC_LC = 2;

export interface SampleConfig {
  /** As ffmpeg names it. */
  readonly codec: string;
  readonly rate: number;
  readonly channels: number;
  /** Only of AAC. */
  readonly objectType: number | null;
  /** Equal if one sample entry can describe both. */
  readonly key: string;
}

export function sampleConfig(entry: Uint8Array): SampleConfig {
  const type = new TextDecoder("latin1").decode(entry.subarray(4, 8));
  const view = new DataView(entry.buffer, entry.byteOffset, entry.byteLength);
  const visual = VISUAL.has(type);
  const start = Math.min(visual ? VISUAL_ENTRY_BYTES : AUDIO_ENTRY_BYTES, entry.length);
  const boxes = childBoxes(entry, { start, end: entry.length }) ?? [];
  const config = boxes.find((box) => CONFIG_BOXES.has(box.type));
  const bytes = config === undefined ? new Uint8Array(0) : entry.subarray(config.body, config.end);
  if (visual) {
    const size = view.byteLength < 36 ? "" : `${view.getUint16(32)}x${view.getUint16(34)}`;
    const codec = VIDEO_CODECS[type] ?? type;
    return { codec, rate: 0, channels: 0, objectType: null, key: `${codec} ${size} ${bytes.toHex()}` };
  }
  const [channels, rate] = view.byteLength < 36 ? [0, 0] : [view.getUint16(24), view.getUint16(32)];
  const esds = boxes.find((box) => box.type === "esds");
  const aac = esds === undefined ? null : parseEsds(entry.subarray(esds.body + 4, esds.end));
  const codec = aac === null ? AUDIO_CODECS[type] ?? type : MP3_OBJECT_TYPES.has(aac.object) ? "mp3" : "aac";
  const specific = aac?.specific ?? bytes;
  const objectType = codec === "aac" && specific.length > 0 ? specific[0]! >> 3 : null;
  return { codec, rate, channels, objectType, key: `${codec} ${rate} ${channels} ${specific.subarray(0, 2).toHex()}` };
}

const VIDEO_CODECS: Readonly<Record<string, string>> = {
  avc1: "h264",
  avc3: "h264",
  hvc1: "hevc",
  hev1: "hevc",
  vp09: "vp9",
  av01: "av1",
};
const AUDIO_CODECS: Readonly<Record<string, string>> = {
  "ac-3": "ac3",
  "ec-3": "eac3",
  Opus: "opus",
  fLaC: "flac",
  ".mp3": "mp3",
};

/** The bitstream filter that puts parameter sets into every key frame; null if the codec has them there anyway. */
export function videoFilter(codec: string): string | null {
  return codec === "h264" || codec === "hevc" ? `${codec}_mp4toannexb,dump_extra=freq=keyframe` : null;
}

/** ffmpeg's arguments to encode audio like `config`. `exact`: samples of that configuration can stay as they are. */
export function audioEncoder(config: SampleConfig): { args: readonly string[]; label: string; exact: boolean } {
  const name = config.codec === "aac" && config.objectType !== AAC_LC ? undefined : ENCODERS[config.codec];
  const [rate, channels] = [config.rate || 48_000, Math.min(config.channels || 2, 8)];
  const shape = ["-ar", `${rate}`, "-ac", `${channels}`];
  const bitrate = ["-b:a", `${Math.max(64, 96 * channels)}k`];
  if (name !== undefined) {
    const lossless = config.codec === "flac";
    return { args: ["-c:a", name, ...shape, ...(lossless ? [] : bitrate)], label: labelOf(config.codec), exact: true };
  }
  return { args: ["-c:a", "aac", ...shape, ...bitrate], label: labelOf("aac"), exact: false };
  function labelOf(codec: string) {
    return `${codec}, ${rate} Hz, ${channels} channel${channels === 1 ? "" : "s"}`;
  }
}

const ENCODERS: Readonly<Record<string, string>> = {
  aac: "aac",
  mp3: "libmp3lame",
  ac3: "ac3",
  eac3: "eac3",
  opus: "libopus",
  flac: "flac",
};

/** Walks the descriptors of esds to the decoder's configuration. ISO/IEC 14496-1 §7.2.6. */
function parseEsds(bytes: Uint8Array): { object: number; specific: Uint8Array } | null {
  let object = 0;
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at++]!;
    let length = 0;
    for (let more = true; more && at < bytes.length;) {
      length = (length << 7) | (bytes[at]! & 0x7f);
      more = (bytes[at++]! & 0x80) !== 0;
    }
    if (tag === 0x03) at += 3; // ES_Descriptor: id and flags, then descriptors
    else if (tag === 0x04) {
      object = bytes[at] ?? 0;
      at += 13; // DecoderConfigDescriptor: fixed fields, then descriptors
    } else if (tag === 0x05) return { object, specific: bytes.subarray(at, at + length) };
    else at += length;
  }
  return object === 0 ? null : { object, specific: new Uint8Array(0) };
}
