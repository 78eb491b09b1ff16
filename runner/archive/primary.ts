/** Which target an archive is served from first: the one with the fewest bytes; if that is unknown for one of them, by the title's number. */

export interface Candidate {
  readonly name: string;
  readonly account: number;
}

/** The targets, preferred first. Every runner with the same information prefers the same target. */
export function byPreference<T extends Candidate>(
  targets: readonly T[],
  options: { malId: number; usedBytes: (target: string) => number | null },
): T[] {
  const inOrder = targets.toSorted((a, b) => a.account - b.account);
  const used = inOrder.map((target) => options.usedBytes(target.name));
  if (used.length > 0 && used.every((bytes) => bytes !== null)) {
    return inOrder.toSorted((a, b) => options.usedBytes(a.name)! - options.usedBytes(b.name)!);
  }
  const first = options.malId % Math.max(1, inOrder.length);
  return [...inOrder.slice(first), ...inOrder.slice(0, first)];
}
