// A map that holds so many characters at most and forgets the oldest first: what sources write does not fill an isolate.
// Example: new BoundedMemory<URL>(1000) … set("a", url, url.href.length). Runs on: workerd.
export class BoundedMemory<T> {
  readonly #entries = new Map<string, { readonly value: T; readonly length: number }>();
  readonly #maxLength: number;
  #length = 0;

  constructor(maxLength: number) {
    this.#maxLength = maxLength;
  }

  get(name: string): T | undefined {
    return this.#entries.get(name)?.value;
  }

  /** @param length Of the value, in characters; the name counts as well. */
  set(name: string, value: T, length: number): void {
    this.delete(name);
    this.#entries.set(name, { value, length: name.length + length });
    this.#length += name.length + length;
    for (const oldest of this.#entries.keys()) {
      if (this.#length <= this.#maxLength) break;
      this.delete(oldest);
    }
  }

  delete(name: string): void {
    this.#length -= this.#entries.get(name)?.length ?? 0;
    this.#entries.delete(name);
  }
}
