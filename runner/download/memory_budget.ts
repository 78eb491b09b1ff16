/**
 * How many bytes of segments may be in memory at once, over all jobs: sixteen connections times the largest segment would be gigabytes.
 * Example: `using held = budget.hold()`; `await held.need(5_000_000, signal)`. Runs on: Deno.
 */

export type Held = Disposable & {
  /** Waits until so many bytes are free. Called once per hold. */
  readonly need: (bytes: number, signal: AbortSignal) => Promise<void>;
};

export type MemoryBudget = { readonly hold: () => Held };

export function createMemoryBudget(maxBytes: number): MemoryBudget {
  let used = 0;
  const waiting: (() => void)[] = [];

  function release(bytes: number): void {
    used -= bytes;
    waiting.splice(0).forEach((wake) => wake());
  }

  return {
    hold: () => {
      let own = 0;
      return {
        need: async (bytes, signal) => {
          // One that is larger than everything goes alone.
          while (used > 0 && used + bytes > maxBytes) {
            signal.throwIfAborted();
            await new Promise<void>((wake) => {
              waiting.push(wake);
              signal.addEventListener("abort", () => wake(), { once: true });
            });
          }
          signal.throwIfAborted();
          used += bytes;
          own += bytes;
        },
        [Symbol.dispose]: () => {
          if (own > 0) release(own);
          own = 0;
        },
      };
    },
  };
}
