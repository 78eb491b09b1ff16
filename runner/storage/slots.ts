// A cap on how many part streams run at once, over all targets of the process; whoever waits longest goes first.
// Example: `using slot = await slots.take(signal)`. Runs on: Deno.

export interface Slots {
  take(signal?: AbortSignal): Promise<Disposable>;
}

export function createSlots(count: number): Slots {
  let free = count;
  const waiting: (() => void)[] = [];

  function give() {
    const next = waiting.shift();
    if (next) next();
    else free++;
  }
  function slot(): Disposable {
    let held = true;
    return {
      [Symbol.dispose]() {
        if (held) give();
        held = false;
      },
    };
  }

  return {
    take(signal) {
      signal?.throwIfAborted();
      if (free > 0) {
        free--;
        return Promise.resolve(slot());
      }
      return new Promise((resolve, reject) => {
        const go = () => {
          signal?.removeEventListener("abort", leave);
          resolve(slot());
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
