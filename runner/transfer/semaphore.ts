// A cap on how many part streams run at once, over all targets of the process; whoever waits longest goes first. Each permit lends
// the buffer to stream with: a buffer per part would pile up outside of V8's heap, which frees such memory late.
// Example: `using permit = await semaphore.acquire(signal)`, then `file.read(permit.buffer)`. Runs on: Deno.

const BUFFER_BYTES = 1 << 20;

export interface Permit extends Disposable {
  /** Nobody else's until the permit is given back: let every read and write with it settle first. */
  readonly buffer: Uint8Array<ArrayBuffer>;
}

export interface Semaphore {
  acquire(signal?: AbortSignal): Promise<Permit>;
}

export function createSemaphore(count: number): Semaphore {
  let unused = count;
  const buffers: Permit["buffer"][] = [];
  const waiting: ((buffer: Permit["buffer"]) => void)[] = [];

  function permit(buffer: Permit["buffer"]): Permit {
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
    acquire(signal) {
      signal?.throwIfAborted();
      const idle = buffers.pop() ?? (unused-- > 0 ? new Uint8Array(BUFFER_BYTES) : undefined);
      if (idle) return Promise.resolve(permit(idle));
      return new Promise((resolve, reject) => {
        const go = (buffer: Permit["buffer"]) => {
          signal?.removeEventListener("abort", leave);
          resolve(permit(buffer));
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
