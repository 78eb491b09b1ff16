// A cap on how many part streams run at once, over all targets of the process; whoever waits longest goes first. Each slot lends
// the buffer to stream with: a buffer per part would pile up outside of V8's heap, which frees such memory late.
// Example: `using slot = await slots.take(signal)`, then `file.read(slot.buffer)`. Runs on: Deno.

const BUFFER_BYTES = 1 << 20;

export interface Slot extends Disposable {
  /** Nobody else's until the slot is given back: let every read and write with it settle first. */
  readonly buffer: Uint8Array<ArrayBuffer>;
}

export interface Slots {
  take(signal?: AbortSignal): Promise<Slot>;
}

export function createSlots(count: number): Slots {
  let unused = count;
  const buffers: Slot["buffer"][] = [];
  const waiting: ((buffer: Slot["buffer"]) => void)[] = [];

  function slot(buffer: Slot["buffer"]): Slot {
    let held = true;
    return {
      buffer,
      [Symbol.dispose]() {
        if (!held) return;
        held = false;
        const next = waiting.shift();
        if (next) next(buffer);
        else buffers.push(buffer);
      },
    };
  }

  return {
    take(signal) {
      signal?.throwIfAborted();
      const idle = buffers.pop() ?? (unused-- > 0 ? new Uint8Array(BUFFER_BYTES) : undefined);
      if (idle) return Promise.resolve(slot(idle));
      return new Promise((resolve, reject) => {
        const go = (buffer: Slot["buffer"]) => {
          signal?.removeEventListener("abort", leave);
          resolve(slot(buffer));
        };
        const leave = () => {
          waiting.splice(waiting.indexOf(go), 1);
          reject(signal?.reason);
        };
        waiting.push(go);
        signal?.addEventListener("abort", leave, { once: true });
      });
    },
  };
}
