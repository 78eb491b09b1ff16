// How alike two texts are. Example: similarity("vidoes", "videos") → 0.67.

/** 1 − edit distance / longer length, of at most 200 characters. */
export function similarity(a: string, b: string): number {
  if (a === b) return 1;
  const [first, second] = [[...a].slice(0, 200), [...b].slice(0, 200)];
  let previous = second.map((_, index) => index + 1);
  for (const [row, left] of first.entries()) {
    const current: number[] = [];
    for (const [column, right] of second.entries()) {
      const above = previous[column]!;
      const before = current[column - 1] ?? row + 1;
      const diagonal = column === 0 ? row : previous[column - 1]!;
      current.push(Math.min(above + 1, before + 1, diagonal + (left === right ? 0 : 1)));
    }
    previous = current;
  }
  return 1 - (previous.at(-1) ?? first.length) / Math.max(first.length, second.length, 1);
}
