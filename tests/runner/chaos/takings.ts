/**
 * How often each job was begun, by the runners' own logs, and how often a fault took it away: its runner killed, asleep beyond the lease,
 * told to stop, its disk full. Everything else may cost a job time, but no run. Example: `takings.of(id)` → 1. Runs on: Deno.
 */
import type { Attempt, Member } from "./runner_pool.ts";

export const MAX_RUNS = 3;
/** A runner that is told to stop may not hear any more that its release arrived. */
const DISK_FULL = /^released( while stopping)?: disk_full/;
const TAKEN = new RegExp(
  `^killed|^released while stopping: the runner is stopping|^lost while stopping|${DISK_FULL.source}`,
);

export type Takings = {
  readonly of: (id: string) => number;
  readonly begun: (id: string) => number;
  /** Whether one of its jobs must not be taken away once more: then it would be begun too often by the test's own doing. */
  readonly spares: (member: Member) => boolean;
  readonly diskFull: () => number;
  /** Which of these jobs were begun more often than they may be. */
  readonly problems: (ids: readonly string[]) => string[];
};

export function createTakings(members: readonly Member[]): Takings {
  const attemptsOf = (id: string): Attempt[] =>
    members.flatMap((member) => member.attempts.filter((attempt) => attempt.job === id));
  /** Taken from these already, only they have not said so yet. */
  const heldElsewhere = (id: string, holder: Member): number =>
    members.filter((member) => member !== holder).flatMap(({ attempts }) => attempts)
      .filter((attempt) => attempt.job === id && attempt.to === null && !attempt.sleptOver).length;
  const takings: Takings = {
    of: (id) =>
      attemptsOf(id).filter((attempt) => attempt.worked && (attempt.sleptOver || TAKEN.test(attempt.end))).length,
    begun: (id) => attemptsOf(id).filter((attempt) => attempt.worked).length,
    spares: (member) => [...member.leased].some((id) => takings.of(id) + heldElsewhere(id, member) >= MAX_RUNS - 1),
    diskFull: () => members.flatMap(({ attempts }) => attempts).filter(({ end }) => DISK_FULL.test(end)).length,
    problems: (ids) =>
      ids.flatMap((id) => {
        const [begun, taken] = [takings.begun(id), takings.of(id)];
        const story = attemptsOf(id).map((attempt) => attempt.end).join("; ");
        return [
          ...begun > MAX_RUNS ? [`${id} was begun ${begun} times: ${story}`] : [],
          ...begun > 1 + taken ? [`${id} was begun ${begun} times, taken away ${taken} times: ${story}`] : [],
        ];
      }),
  };
  return takings;
}
