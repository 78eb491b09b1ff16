/**
 * Frame headers of raw audio: ADTS (ISO/IEC 13818-7 §6.2), MPEG audio (ISO/IEC 11172-3 §2.4.2.3), AC-3 and E-AC-3 (ETSI TS 102 366). Pure.
 * Example: `readAudioFrame(bytes, 0)` → { format: "aac", bytes: 371, seconds: 0.0213, config: "aac 1/3/2" }.
 */

export type AudioFormat = "aac" | "mp3" | "ac3" | "eac3";

export interface AudioFrame {
  /** As ffmpeg names the demuxer. */
  readonly format: AudioFormat;
  readonly bytes: number;
  readonly seconds: number;
  readonly config: string;
}

const ADTS_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
const MPEG_RATES = [44100, 48000, 32000];
/** kbit/s by [lower sampling frequencies][layer]. */
const MPEG_BITRATES: Readonly<Record<string, readonly number[]>> = {
  "0 1": [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  "0 2": [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  "0 3": [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  "1 1": [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  "1 2": [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
  "1 3": [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
};
const AC3_RATES = [48000, 44100, 32000];
const AC3_BITRATES = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
const AC3_FRAME_SAMPLES = 1536;

/** null if no frame starts there. */
export function readAudioFrame(bytes: Uint8Array, at: number): AudioFrame | null {
  if (at + 8 > bytes.length) return null;
  if (bytes[at] === 0x0b && bytes[at + 1] === 0x77) return ac3Frame(bytes, at);
  if (bytes[at] !== 0xff || (bytes[at + 1]! & 0xe0) !== 0xe0) return null;
  return (bytes[at + 1]! & 0xf6) === 0xf0 ? adtsFrame(bytes, at) : mpegFrame(bytes, at);
}

function adtsFrame(bytes: Uint8Array, at: number): AudioFrame | null {
  const index = (bytes[at + 2]! >> 2) & 15;
  const rate = ADTS_RATES[index];
  const length = ((bytes[at + 3]! & 3) << 11) | (bytes[at + 4]! << 3) | (bytes[at + 5]! >> 5);
  if (rate === undefined || length < 7) return null;
  const channels = ((bytes[at + 2]! & 1) << 2) | (bytes[at + 3]! >> 6);
  const seconds = 1024 * ((bytes[at + 6]! & 3) + 1) / rate;
  return { format: "aac", bytes: length, seconds, config: `aac ${bytes[at + 2]! >> 6}/${index}/${channels}` };
}

function mpegFrame(bytes: Uint8Array, at: number): AudioFrame | null {
  const version = (bytes[at + 1]! >> 3) & 3; // 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
  const layer = 4 - ((bytes[at + 1]! >> 1) & 3);
  const rate = (MPEG_RATES[(bytes[at + 2]! >> 2) & 3] ?? 0) / (version === 3 ? 1 : version === 2 ? 2 : 4);
  const kbits = MPEG_BITRATES[`${version === 3 ? 0 : 1} ${layer}`]?.[bytes[at + 2]! >> 4];
  if (version === 1 || rate === 0 || kbits === undefined || kbits === 0) return null;
  const samples = layer === 1 ? 384 : layer === 3 && version !== 3 ? 576 : 1152;
  const padding = (bytes[at + 2]! >> 1) & 1;
  const length = layer === 1
    ? (Math.floor(12_000 * kbits / rate) + padding) * 4
    : Math.floor(samples / 8 * 1000 * kbits / rate) + padding;
  const channels = bytes[at + 3]! >> 6 === 3 ? 1 : 2;
  return { format: "mp3", bytes: length, seconds: samples / rate, config: `mpeg ${layer}/${rate}/${channels}` };
}

function ac3Frame(bytes: Uint8Array, at: number): AudioFrame | null {
  if (bytes[at + 5]! >> 3 > 10) return eac3Frame(bytes, at);
  const code = bytes[at + 4]! >> 6;
  const rate = AC3_RATES[code];
  const kbits = AC3_BITRATES[(bytes[at + 4]! & 63) >> 1];
  if (rate === undefined || kbits === undefined) return null;
  const odd = code === 1 ? bytes[at + 4]! & 1 : 0;
  const length = 2 * (Math.floor(kbits * 96_000 / rate) + odd);
  return {
    format: "ac3",
    bytes: length,
    seconds: AC3_FRAME_SAMPLES / rate,
    config: `ac-3 ${rate}/${bytes[at + 6]! >> 5}`,
  };
}

function eac3Frame(bytes: Uint8Array, at: number): AudioFrame | null {
  const rate = AC3_RATES[bytes[at + 4]! >> 6];
  if (rate === undefined) return null; // half sampling frequencies are not in use
  const blocks = [1, 2, 3, 6][(bytes[at + 4]! >> 4) & 3]!;
  const length = 2 * ((((bytes[at + 2]! & 7) << 8) | bytes[at + 3]!) + 1);
  const dependent = bytes[at + 2]! >> 6 === 1; // extends the frame before it
  const config = `ec-3 ${rate}/${(bytes[at + 4]! >> 1) & 7}`;
  return { format: "eac3", bytes: length, seconds: dependent ? 0 : 256 * blocks / rate, config };
}
