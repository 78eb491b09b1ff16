/** Serialises MP4 boxes. Pure. Example: `fullBox("stco", {}, u32(1), u32(48))`. ISO/IEC 14496-12 §4.2. */
export function box(type: string, ...contents: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const body = join(contents);
  return join([u32(8 + body.length), text(type), body]);
}

export function fullBox(
  type: string,
  { version = 0, flags = 0 }: { version?: number; flags?: number },
  ...contents: readonly Uint8Array[]
): Uint8Array<ArrayBuffer> {
  return box(type, u32(version * 2 ** 24 + flags), ...contents);
}

export function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function text(letters: string): Uint8Array {
  return new TextEncoder().encode(letters);
}

export function u16(value: number): Uint8Array {
  return new Uint8Array([value >> 8, value & 255]);
}

export function u32(value: number): Uint8Array {
  return u32s([value]);
}

/** Negative values as two's complement. */
export function u32s(values: ArrayLike<number>): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  for (let i = 0; i < values.length; i++) view.setInt32(4 * i, values[i]! | 0);
  return new Uint8Array(view.buffer);
}

export function u64(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(Math.max(0, value)));
  return new Uint8Array(view.buffer);
}

export function i64(value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigInt64(0, BigInt(value));
  return new Uint8Array(view.buffer);
}
