/**
 * Limits the parallel part streams of all targets, first come, first served. Each permit has a buffer: a buffer per part would pile up
 * outside of V8's heap, which releases such memory late.
 * Example: `using permit = await semaphore.acquire(signal)`, then `file.read(permit.buffer)`.
 */

const BUFFER_BYTES = 1 << 20;

export interface Permit extends Disposable {
  /** Exclusive until the permit is disposed. Let every read and write with it settle before. */
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
