// A segment of a media playlist: where its bytes are and how to decrypt them.
// Example: segmentIv({ key: { iv: null, … }, sequence: 7n, … }) → 16 bytes that end in 7

export interface Segment {
  readonly url: string;
  readonly durationSeconds: number;
  /** Media sequence number, which is the default IV of AES-128. */
  readonly sequence: bigint;
  /** Number of preceding EXT-X-DISCONTINUITY tags: segments with the same number share a timeline. */
  readonly discontinuity: number;
  readonly byteRange: ByteSpan | null;
  readonly key: SegmentKey | null;
  readonly map: InitSection | null;
  /** Seconds to add to the segment's timestamps. Only of MPEG-DASH, where tracks may have different offsets. @default 0 */
  readonly timestampShift?: number;
  /** EXT-X-GAP: the segment is missing on the server. */
  readonly gap: boolean;
}

export interface ByteSpan {
  readonly offset: number;
  readonly length: number;
  /** The playlist does not state where the first range starts: the offset is right only if the resource has this length. */
  readonly resourceLength?: number;
}

export interface SegmentKey {
  /** AES-128, SAMPLE-AES, SAMPLE-AES-CTR, … as written. */
  readonly method: string;
  /** May be a `data:` URL, which contains the key. */
  readonly url: string;
  /** `identity`, or the name of a DRM system. */
  readonly keyFormat: string;
  /** 16 bytes; null for the sequence number (see segmentIv). */
  readonly iv: Uint8Array<ArrayBuffer> | null;
}

export interface InitSection {
  readonly url: string;
  readonly byteRange: ByteSpan | null;
  /** The key that applies to the EXT-X-MAP. */
  readonly key: SegmentKey | null;
}

/** The IV of a segment: the key's own, or the sequence number as a 128-bit big-endian integer. */
export function segmentIv(segment: Segment): Uint8Array<ArrayBuffer> {
  if (segment.key?.iv) return segment.key.iv;
  const iv = new Uint8Array(16);
  new DataView(iv.buffer).setBigUint64(8, segment.sequence);
  return iv;
}
