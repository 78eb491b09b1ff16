/**
 * Reads HTTP/1.1 from a TCP connection: a head up to the empty line, then counted bytes, without losing bytes read ahead.
 * Example: `const head = await socket.readHead()`; `await socket.copyTo(other, 1000, count)`.
 */
const MAX_HEAD_BYTES = 128 * 1024;
const BUFFER_BYTES = 64 * 1024;

export class ByteSocket {
  readonly #conn: Deno.TcpConn | Deno.Conn;
  #ahead = new Uint8Array(0);
  #buffer: Uint8Array<ArrayBuffer> | null = null;
  closed = false;

  constructor(conn: Deno.TcpConn | Deno.Conn) {
    this.#conn = conn;
  }

  /** Bytes up to and including the empty line, as Latin-1 text; null if the peer closed before the first byte. */
  async readHead(): Promise<string | null> {
    for (;;) {
      const end = indexOfEmptyLine(this.#ahead);
      if (end !== -1) {
        const head = new TextDecoder("latin1").decode(this.#ahead.subarray(0, end));
        this.#ahead = this.#ahead.slice(end);
        return head;
      }
      if (this.#ahead.length > MAX_HEAD_BYTES) throw new Deno.errors.InvalidData("head too large");
      const buffer = new Uint8Array(16 * 1024);
      const read = await this.#conn.read(buffer);
      if (read === null) {
        if (this.#ahead.length === 0) return null;
        throw new Deno.errors.UnexpectedEof("connection closed inside a head");
      }
      this.#ahead = concat(this.#ahead, buffer.subarray(0, read));
    }
  }

  /** Copies `length` bytes (Infinity: until the peer closes) and calls `count` for each chunk. false: the peer closed early. */
  async copyTo(other: ByteSocket, length: number, count: (bytes: number) => void): Promise<boolean> {
    let left = length;
    while (left > 0) {
      const piece = await this.#readSome(left);
      if (piece === null) return left === Infinity;
      count(piece.length);
      left -= piece.length;
      await other.write(piece);
    }
    return true;
  }

  /** Copies a chunked body including its framing, so that the connection can be reused. */
  async copyChunkedTo(other: ByteSocket, count: (bytes: number) => void): Promise<boolean> {
    for (;;) {
      const line = await this.#readLine();
      await other.write(line);
      const size = parseInt(new TextDecoder().decode(line), 16);
      if (!Number.isSafeInteger(size) || size < 0) throw new Deno.errors.InvalidData("not a chunk");
      if (size === 0) break;
      if (!await this.copyTo(other, size + 2, count)) return false;
    }
    for (;;) { // trailers end with an empty line
      const line = await this.#readLine();
      await other.write(line);
      if (line.length === 2) return true;
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#conn.write(at === 0 ? bytes : bytes.subarray(at));
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    try {
      this.#conn.close();
    } catch {
      // closed by the runtime
    }
  }

  async #readLine(): Promise<Uint8Array> {
    for (;;) {
      const end = this.#ahead.indexOf(10);
      if (end !== -1) {
        const line = this.#ahead.slice(0, end + 1);
        this.#ahead = this.#ahead.slice(end + 1);
        return line;
      }
      if (this.#ahead.length > 4096) throw new Deno.errors.InvalidData("line too long");
      const buffer = new Uint8Array(16 * 1024);
      const read = await this.#conn.read(buffer);
      if (read === null) throw new Deno.errors.UnexpectedEof("connection closed inside a chunked body");
      this.#ahead = concat(this.#ahead, buffer.subarray(0, read));
    }
  }

  /** The returned buffer is valid until the next read. */
  async #readSome(max: number): Promise<Uint8Array | null> {
    if (this.#ahead.length > 0) {
      const piece = this.#ahead.subarray(0, Math.min(max, this.#ahead.length));
      this.#ahead = this.#ahead.subarray(piece.length);
      return piece;
    }
    this.#buffer ??= new Uint8Array(BUFFER_BYTES);
    const read = await this.#conn.read(max < BUFFER_BYTES ? this.#buffer.subarray(0, max) : this.#buffer);
    return read === null ? null : this.#buffer.subarray(0, read);
  }
}

function indexOfEmptyLine(bytes: Uint8Array): number {
  for (let i = 3; i < bytes.length; i++) {
    if (bytes[i] === 10 && bytes[i - 1] === 13 && bytes[i - 2] === 10 && bytes[i - 3] === 13) return i + 1;
  }
  return -1;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
