/**
 * How often each job was begun, by the runners' own logs, and how often a fault took it away: its runner killed, asleep beyond the lease,
 * told to stop, its disk full. Everything else may cost a job time, but no run. Example: `takings.of(id)` → 1. Runs on: Deno.
 */
import type { Member, Stint } from "./crew.ts";

export const MAX_RUNS = 3;
const TAKEN = /^killed|^released: the runner is stopping|^failed: disk_full/;

export type Takings = {
  readonly of: (id: string) => number;
  readonly begun: (id: string) => number;
  /** Whether one of its jobs must not be taken away once more: then it would be begun too often by the test's own doing. */
  readonly spares: (member: Member) => boolean;
  /** This lease ended while its holder slept. */
  readonly sleptOver: (lease: { readonly id: string; readonly lease_token: string }) => void;
  readonly diskFull: () => number;
  /** Which of these jobs were begun more often than they may be. */
  readonly problems: (ids: readonly string[]) => string[];
};

export function createTakings(members: readonly Member[]): Takings {
  const jobOfLease = new Map<string, string>();
  const stintsOf = (id: string): Stint[] =>
    members.flatMap((member) => member.stints.filter((stint) => stint.job === id));
  const takings: Takings = {
    of: (id) =>
      [...jobOfLease.values()].filter((job) => job === id).length +
      stintsOf(id).filter((stint) => TAKEN.test(stint.end)).length,
    begun: (id) => stintsOf(id).filter((stint) => stint.worked).length,
    spares: (member) => [...member.leased].some((id) => takings.of(id) >= MAX_RUNS - 1),
    sleptOver: ({ id, lease_token }) => void jobOfLease.set(lease_token, id),
    diskFull: () => members.flatMap(({ stints }) => stints).filter(({ end }) => end === "failed: disk_full").length,
    problems: (ids) =>
      ids.flatMap((id) => {
        const [begun, taken] = [takings.begun(id), takings.of(id)];
        const story = stintsOf(id).map((stint) => stint.end).join("; ");
        return [
          ...begun > MAX_RUNS ? [`${id} was begun ${begun} times: ${story}`] : [],
          ...begun > 1 + taken ? [`${id} was begun ${begun} times, taken away ${taken} times: ${story}`] : [],
        ];
      }),
  };
  return takings;
}
