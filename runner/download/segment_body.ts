/**
 * Turns the received bytes into a segment, block by block: decrypts, removes the image that some hosts prepend, and refuses incomplete
 * bodies. Example: `await body.push(received)` for each chunk, then `await body.end()` → "ts".
 */
import { KeepstreamError } from "../../core/errors.ts";
import { BoxWalk } from "./box_walk.ts";
import { giveBack } from "./segment_fetch.ts";
import { isTransportStream } from "./sniff.ts";
import { TsPackets } from "./ts_packets.ts";

/** Memory per connection, whatever the segment's size: whole cipher blocks and TS packets, and more than a prepended image. */
export const BLOCK_BYTES = 130 * 16 * 47;
const CIPHER_BYTES = 16;
/** Where to search for the first TS packet after a prepended image, which has a few hundred bytes. */
const MAX_DISGUISE_BYTES = 64 * 1024;

const FMP4_BOX = /^(?:ftyp|styp|moof|sidx|moov|emsg|prft|mdat|free|skip|uuid)$/;

export type SegmentContainer = "ts" | "fmp4" | "vtt" | "audio";

export type SegmentBodyOptions = {
  /** An AES-CBC key for both directions, awaited with the first block. */
  readonly key: Promise<CryptoKey> | null;
  readonly iv: Uint8Array<ArrayBuffer>;
  /** Some packagers end with a segment of 0 bytes. */
  readonly mayBeEmpty?: boolean;
  /** Subtitles: any text, or nothing. */
  readonly isText?: boolean;
  /** The buffer is reused once the promise has settled. */
  readonly write: (clear: Uint8Array<ArrayBuffer>) => Promise<void>;
};

/** A fault of this transfer. Another attempt may succeed. */
export class DamagedSegment extends KeepstreamError {
  constructor(message: string) {
    super("network", message, { retryable: true });
  }
}

export class SegmentBody implements Disposable {
  readonly #options: SegmentBodyOptions;
  /** With space for an additional cipher block. */
  readonly #block = new Uint8Array(BLOCK_BYTES + CIPHER_BYTES);
  #filled = 0;
  #iv: Uint8Array<ArrayBuffer>;
  #container: SegmentContainer | null = null;
  readonly #packets = new TsPackets();
  readonly #boxes = new BoxWalk();

  constructor(options: SegmentBodyOptions) {
    this.#options = options;
    this.#iv = options.iv;
  }

  async push(received: Uint8Array): Promise<void> {
    for (let at = 0; at < received.length;) {
      // A full block waits for the next bytes: the last block is decrypted differently.
      if (this.#filled === BLOCK_BYTES) await this.#flush({ last: false });
      const piece = received.subarray(at, at + BLOCK_BYTES - this.#filled);
      this.#block.set(piece, this.#filled);
      this.#filled += piece.length;
      at += piece.length;
    }
  }

  /** Throws DamagedSegment if the body is incomplete. */
  async end(): Promise<SegmentContainer | "empty"> {
    if (this.#filled > 0) await this.#flush({ last: true });
    if (this.#container === null) {
      if (this.#options.isText) return "vtt"; // nothing is said in these seconds
      if (this.#options.mayBeEmpty) return "empty";
      throw damaged("is empty");
    }
    const problem = this.#problem();
    if (problem !== null) throw damaged(problem);
    return this.#container;
  }

  #problem(): string | null {
    if (this.#container === "ts") return this.#packets.problem();
    return this.#container === "fmp4" ? this.#boxes.problem() : null;
  }

  [Symbol.dispose](): void {
    giveBack(this.#block);
  }

  async #flush({ last }: { last: boolean }): Promise<void> {
    const received = this.#block.subarray(0, this.#filled);
    const clear = this.#options.key === null ? received : await this.#decrypt(await this.#options.key);
    this.#filled = 0;
    const padding = last && clear !== received ? paddingOf(clear) : 0;
    let body = clear;
    if (this.#container === null && clear.length > padding) {
      const { container, start } = this.#options.isText ? classifyText(clear) : classify(clear);
      this.#container = container;
      body = clear.subarray(start);
    }
    if (last && clear !== received) body = this.#withoutPadding(body, padding);
    if (this.#container === "ts") {
      for (const packets of this.#packets.take(body)) {
        await this.#options.write(packets);
      }
    } else {
      if (this.#container === "fmp4") this.#boxes.push(body);
      if (body.length > 0) await this.#options.write(body);
    }
    if (clear !== received) giveBack(clear);
  }

  /**
   * WebCrypto insists on padding, which only the last block has, and not with every packager: a block is appended that decrypts to
   * padding, and the real padding is kept.
   */
  async #decrypt(key: CryptoKey): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#filled % CIPHER_BYTES !== 0) throw damaged("is not a whole number of cipher blocks");
    const iv = this.#iv;
    const end = this.#filled;
    this.#iv = this.#block.slice(end - CIPHER_BYTES, end);
    const padding = await crypto.subtle.encrypt({ name: "AES-CBC", iv: this.#iv }, key, new Uint8Array(0));
    this.#block.set(new Uint8Array(padding), end);
    const cipher = this.#block.subarray(0, end + CIPHER_BYTES);
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-CBC", iv }, key, cipher));
  }

  /** Padding, or the end of a segment without padding that looks like it: whichever leaves a whole segment. */
  #withoutPadding(body: Uint8Array<ArrayBuffer>, padding: number): Uint8Array<ArrayBuffer> {
    const stripped = body.subarray(0, body.length - padding);
    const isWhole = (part: Uint8Array) => {
      if (this.#container === "ts") return this.#packets.isWholeWith(part.length);
      if (this.#container === "fmp4") return this.#boxes.problemWith(part) === null;
      return this.#options.isText === true; // a text may end anywhere
    };
    if (padding > 0 && (isWhole(stripped) || !isWhole(body))) return stripped;
    if (isWhole(body)) return body;
    throw damaged("cannot be decrypted: it is incomplete, or the key or IV is wrong");
  }
}

/** PKCS #7: 1 to 16 bytes, each of them their number. 0: there is no padding. */
function paddingOf(clear: Uint8Array): number {
  const length = clear.at(-1)!;
  const isPadding = length > 0 && length <= CIPHER_BYTES && clear.subarray(-length).every((byte) => byte === length);
  return isPadding ? length : 0;
}

function damaged(reason: string): DamagedSegment {
  return new DamagedSegment(`the segment ${reason}`);
}

function classifyText(bytes: Uint8Array): { container: SegmentContainer; start: number } {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 64));
  if (/^\s*<(?:!doctype\s+)?html/i.test(text)) throw damaged("is an HTML page");
  return { container: FMP4_BOX.test(text.slice(4, 8)) ? "fmp4" : "vtt", start: 0 };
}

function classify(bytes: Uint8Array): { container: SegmentContainer; start: number } {
  if (isTransportStream(bytes)) return { container: "ts", start: 0 };
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 16));
  if (FMP4_BOX.test(text.slice(4, 8))) {
    return { container: "fmp4", start: 0 };
  }
  if (/^(?:\xEF\xBB\xBF)?WEBVTT/.test(text)) return { container: "vtt", start: 0 };
  const audio = (bytes[0] === 0xff && (bytes[1]! & 0xe0) === 0xe0) || (bytes[0] === 0x0b && bytes[1] === 0x77);
  if (text.startsWith("ID3") || audio) {
    return { container: "audio", start: 0 };
  }
  const start = disguisedStart(bytes);
  if (start !== -1) return { container: "ts", start };
  throw damaged(/^\s*</.test(text) ? "is an HTML page" : "is neither MPEG-TS nor fragmented MP4");
}

/** Some hosts disguise segments as images: a small PNG, JPEG, GIF or BMP precedes the first TS packet. */
function disguisedStart(bytes: Uint8Array): number {
  const image = (bytes[0] === 0x89 && bytes[1] === 0x50) || (bytes[0] === 0xff && bytes[1] === 0xd8) ||
    (bytes[0] === 0x47 && bytes[1] === 0x49) || (bytes[0] === 0x42 && bytes[1] === 0x4d);
  if (!image) return -1;
  const end = Math.min(bytes.length - 377, MAX_DISGUISE_BYTES);
  for (let at = 1; at < end; at++) if (bytes[at] === 0x47 && isTransportStream(bytes, at)) return at;
  return -1;
}
