/**
 * The whole packets of an MPEG-TS that arrives in chunks. Pure. ISO/IEC 13818-1 §2.4.3.
 * Example: `for (const packets of ts.take(chunk)) await write(packets)`, then `ts.problem()` → "ends inside a TS packet" or null.
 */
const PACKET = 188;
const SYNC = 0x47;

export class TsPackets {
  /** The incomplete last packet. */
  #begun = new Uint8Array(0);
  #lostSync = false;

  /** Whole packets in order, without a copy except for a packet that two chunks share. */
  *take(chunk: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>> {
    let at = 0;
    if (this.#begun.length > 0) {
      at = Math.min(PACKET - this.#begun.length, chunk.length);
      const packet = new Uint8Array([...this.#begun, ...chunk.subarray(0, at)]);
      this.#begun = packet;
      if (packet.length < PACKET) return;
      this.#checkSync(packet);
      yield packet;
    }
    const end = at + Math.floor((chunk.length - at) / PACKET) * PACKET;
    const packets = chunk.subarray(at, end);
    this.#checkSync(packets);
    this.#begun = chunk.slice(end);
    if (packets.length > 0) yield packets;
  }

  /** Whether the stream would be whole with `more` bytes. */
  isWholeWith(more: number): boolean {
    return (this.#begun.length + more) % PACKET === 0;
  }

  /** Players skip a few bytes after the last packet, which some packagers append; they are neither a packet that was cut nor text. */
  problem(): string | null {
    if (this.#lostSync) return "contains bytes that are not MPEG-TS";
    if (this.#begun.length === 0) return null;
    const text = new TextDecoder("latin1").decode(this.#begun);
    if (/^\s*[<{][\s\x20-\x7e]*$/.test(text)) return "ends with text";
    return this.#begun[0] === SYNC ? "ends inside a TS packet" : null;
  }

  #checkSync(packets: Uint8Array): void {
    for (let at = 0; at < packets.length; at += PACKET) if (packets[at] !== SYNC) this.#lostSync = true;
  }
}
