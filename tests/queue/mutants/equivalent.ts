/** Mutants that no test can notice, each with the reason. */
export interface EquivalentMutant {
  readonly name: string;
  readonly change: string;
  /** Part of the line it is on. */
  readonly source: string;
  readonly because: string;
}

export const EQUIVALENT: readonly EquivalentMutant[] = [];
