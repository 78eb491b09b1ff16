// The shape of bench/results/proxy.json.

export interface Round {
  readonly cpu_ms: number;
  readonly wall_ms: number;
}

export interface Measurement {
  readonly name: string;
  readonly unit: string;
  /** Median CPU of each variant, in `unit`. */
  readonly variants: Readonly<
    Record<
      string,
      {
        readonly median_cpu_ms: number;
        readonly median_wall_ms: number;
        /** CPU of the first request of a new process, if it was measured. */
        readonly first_cpu_ms?: number;
        readonly rounds: readonly Round[];
      }
    >
  >;
  readonly ratios: readonly {
    readonly of: string;
    readonly to: string;
    readonly cpu: number;
    /** The same, with the CPU of an untouched pass-through subtracted from both. */
    readonly cpu_beyond_untouched?: number;
    readonly goal: string;
    readonly met: boolean;
  }[];
}

/** bench/results/proxy.json */
export interface Result {
  readonly machine: string;
  readonly measured_at: string;
  readonly workerd: string;
  readonly measurements: readonly Measurement[];
  readonly ranges: { readonly ranges: number; readonly resolves: number; readonly cdn: number };
}
