/**
 * How often each job was started, by the runners' logs, and how often a fault interrupted it: its runner was killed, slept beyond the lease
 * or was stopped, or its disk was full. Other faults may only delay a job. Example: `interruptions.of(id)` → 1.
 */
import type { Attempt, Member } from "./runner_pool.ts";

export const MAX_ATTEMPTS = 3;
/** A stopping runner may not receive the response to its release. */
const DISK_FULL = /^released( while stopping)?: disk_full/;
const INTERRUPTED = new RegExp(
  `^killed|^released while stopping: the runner is stopping|^lost while stopping|${DISK_FULL.source}`,
);

export type Interruptions = {
  readonly of: (id: string) => number;
  readonly begun: (id: string) => number;
  /** Whether one of its jobs must not be interrupted again, because the test itself would start it too often. */
  readonly spares: (member: Member) => boolean;
  readonly diskFull: () => number;
  /** Jobs that were started too often. */
  readonly problems: (ids: readonly string[]) => string[];
};

export function countInterruptions(members: readonly Member[]): Interruptions {
  const attemptsOf = (id: string): Attempt[] =>
    members.flatMap((member) => member.attempts.filter((attempt) => attempt.job === id));
  /** Interrupted already, but not yet in the log. */
  const heldElsewhere = (id: string, holder: Member): number =>
    members.filter((member) => member !== holder).flatMap(({ attempts }) => attempts)
      .filter((attempt) => attempt.job === id && attempt.to === null && !attempt.sleptOver).length;
  const interruptions: Interruptions = {
    of: (id) =>
      attemptsOf(id).filter((attempt) => attempt.worked && (attempt.sleptOver || INTERRUPTED.test(attempt.end))).length,
    begun: (id) => attemptsOf(id).filter((attempt) => attempt.worked).length,
    spares: (member) =>
      [...member.leased].some((id) => interruptions.of(id) + heldElsewhere(id, member) >= MAX_ATTEMPTS - 1),
    diskFull: () => members.flatMap(({ attempts }) => attempts).filter(({ end }) => DISK_FULL.test(end)).length,
    problems: (ids) =>
      ids.flatMap((id) => {
        const [begun, taken] = [interruptions.begun(id), interruptions.of(id)];
        const story = attemptsOf(id).map((attempt) => attempt.end).join("; ");
        return [
          ...begun > MAX_ATTEMPTS ? [`${id} was started ${begun} times: ${story}`] : [],
          ...begun > 1 + taken ? [`${id} was started ${begun} times, interrupted ${taken} times: ${story}`] : [],
        ];
      }),
  };
  return interruptions;
}
