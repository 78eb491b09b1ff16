/**
 * Follows the top-level boxes of an MP4 that arrives in chunks: the last box must end where the bytes end. Pure. ISO/IEC 14496-12 §4.2.
 * Example: `walk.push(chunk)` for each chunk, then `walk.problem()` → "ends inside an MP4 box" or null.
 */
export class BoxWalk {
  readonly #head = new Uint8Array(16);
  #filled = 0;
  /** Bytes until the next box header; Infinity if the last box extends to the end. */
  #left = 0;
  #empty = false;

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && !this.#empty;) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, bytes.length - at);
        this.#left -= skipped;
        at += skipped;
        continue;
      }
      this.#head[this.#filled++] = bytes[at++]!;
      const size = this.#size();
      if (size === null) continue;
      this.#empty = size < this.#filled;
      this.#left = size - this.#filled;
      this.#filled = 0;
    }
  }

  /** The result of `problem` if `bytes` came next and were the last. */
  problemWith(bytes: Uint8Array): string | null {
    const walk = new BoxWalk();
    walk.#head.set(this.#head);
    [walk.#filled, walk.#left, walk.#empty] = [this.#filled, this.#left, this.#empty];
    walk.push(bytes);
    return walk.problem();
  }

  problem(): string | null {
    if (this.#empty) return "has a box of length 0";
    if (this.#left === Infinity) return null;
    return this.#left > 0 || this.#filled > 0 ? "ends inside an MP4 box" : null;
  }

  /** null: the header is incomplete. */
  #size(): number | null {
    if (this.#filled < 8) return null;
    const view = new DataView(this.#head.buffer);
    const short = view.getUint32(0);
    if (short === 0) return Infinity;
    if (short !== 1) return short;
    return this.#filled < 16 ? null : Number(view.getBigUint64(8));
  }
}
