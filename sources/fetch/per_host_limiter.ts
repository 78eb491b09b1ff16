// Limits concurrent requests per host.
// Example: limiter.run("a.test", { signal }, () => fetch(url)). Runs on: Deno, edge runtime.

export const REQUESTS_PER_HOST = 4;

export interface TurnOptions {
  readonly signal: AbortSignal;
  readonly limit?: number | undefined;
  /** Called if the limit is reached. */
  readonly onWait?: () => void;
}

export interface PerHostLimiter {
  /** Runs the task once the host is below its limit; rejects with the signal's reason if that aborts first. */
  run<T>(host: string, options: TurnOptions, task: () => Promise<T>): Promise<T>;
}

export function createPerHostLimiter(standard = REQUESTS_PER_HOST): PerHostLimiter {
  const hosts = new Map<string, { running: number; waiting: (() => void)[] }>();

  async function enter(host: string, { signal, limit = standard, onWait }: TurnOptions): Promise<void> {
    const state = hosts.get(host) ?? { running: 0, waiting: [] };
    hosts.set(host, state);
    if (state.running < limit) {
      state.running++;
      return;
    }
    onWait?.();
    await new Promise<void>((resolve, reject) => {
      const wake = () => (signal.removeEventListener("abort", onAbort), resolve());
      const onAbort = () => {
        state.waiting.splice(state.waiting.indexOf(wake), 1);
        reject(signal.reason);
      };
      state.waiting.push(wake); // leave() passes the place on without changing `running`
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  function leave(host: string): void {
    const state = hosts.get(host)!;
    const next = state.waiting.shift();
    if (next) return next();
    if (--state.running === 0) hosts.delete(host);
  }

  return {
    async run(host, options, task) {
      options.signal.throwIfAborted();
      await enter(host, options);
      try {
        return await task();
      } finally {
        leave(host);
      }
    },
  };
}
