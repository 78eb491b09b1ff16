/** Mutants that no test can notice, each with the reason. */
export interface EquivalentMutant {
  readonly name: RegExp;
  readonly change: RegExp;
  /** The line it is on. */
  readonly source: RegExp;
  readonly because: string;
}

export const EQUIVALENT: readonly EquivalentMutant[] = [
  {
    name: /./,
    change: /^(<=? → <=?|>=? → >=?)$/,
    source: /moment|clock_timestamp\(\)|now\(\)|cutoff/,
    because: "differs only when a stored microsecond equals the clock's at that very moment",
  },
];
