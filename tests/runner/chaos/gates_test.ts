/** That the checks of a chaos run can fail: how attempts and interruptions are counted from logs, and which problems a report lists. */
import assert from "node:assert/strict";
import type { RunnerProcess } from "../../../dev/testing/runner_fixture.ts";
import type { Call } from "../fault_proxy.ts";
import { type Member, newMembers } from "./runner_pool.ts";
import { POINTS } from "./fault_plan.ts";
import { type ChaosReport, missedGates } from "./report.ts";
import { countInterruptions } from "./interruptions.ts";

type Line = readonly [event: string, more?: Readonly<Record<string, string>>];

const CLAIMED: Line = ["job:claimed"];
const BEGUN: Line = ["job:phase"];
const STOPPING: Line = ["runner:stopping", { id: "" }];

/** A process that logs `said` about job "a", may sleep beyond its lease, logs `rest` and exits. */
function live(member: Member, said: readonly Line[], { thenSleeps = false, rest = [] as Line[] } = {}): void {
  const at = new Date(0).toISOString();
  const lines: string[] = [];
  const say = (more: readonly Line[]) =>
    lines.push(...more.map(([event, more]) => JSON.stringify({ at, event, id: "a", ...more })));
  member.begin({ name: "r", lines } as unknown as RunnerProcess);
  say(said);
  if (thenSleeps) member.sleptOver("a");
  say(rest);
  member.exited();
}

const CASES: readonly [what: string, said: readonly Line[], begun: number, taken: number][] = [
  ["killed", [CLAIMED, BEGUN], 1, 1],
  ["claimed and not started", [CLAIMED], 0, 0],
  ["ready", [CLAIMED, BEGUN, ["job:finished"]], 1, 0],
  ["failed by itself", [CLAIMED, BEGUN, ["job:failed", { code: "storage_5xx" }]], 1, 0],
  ["without disk space", [CLAIMED, BEGUN, ["job:released", { reason: "disk_full: no space left" }]], 1, 1],
  ["lost for no reason", [CLAIMED, BEGUN, ["job:lost", { reason: "x" }]], 1, 0],
  ["lost in a stop", [CLAIMED, BEGUN, STOPPING, ["job:lost", { reason: "x" }]], 1, 1],
  ["released for a stop", [CLAIMED, BEGUN, STOPPING, ["job:released", { reason: "the runner is stopping" }]], 1, 1],
  ["released for another reason", [CLAIMED, BEGUN, STOPPING, ["job:released", { reason: "held" }]], 1, 0],
];

for (const [what, said, begun, taken] of CASES) {
  Deno.test(`interruptions: a job ${what} → started ${begun} ×, interrupted ${taken} ×`, () => {
    const members = newMembers(2);
    live(members[0]!, said);
    const interruptions = countInterruptions(members);
    assert.deepEqual([interruptions.begun("a"), interruptions.of("a")], [begun, taken]);
    live(members[1]!, [CLAIMED, BEGUN, ["job:finished"]]);
    assert.equal(interruptions.problems(["a"]).length, begun > taken ? 1 : 0, "started once more");
  });
}

Deno.test("interruptions: the lease ended during a sleep → one, in any log order", () => {
  const lost: Line = ["job:lost", { reason: "x" }];
  for (const rest of [[lost], [STOPPING, lost], []]) {
    const members = newMembers(1);
    live(members[0]!, [CLAIMED, BEGUN], { thenSleeps: true, rest });
    assert.equal(countInterruptions(members).of("a"), 1);
  }
  const members = newMembers(1);
  live(members[0]!, [], { thenSleeps: true, rest: [CLAIMED, BEGUN, lost] });
  assert.equal(countInterruptions(members).of("a"), 1);
});

Deno.test("leases: lost and claimed again by the same process → leased", () => {
  const [member] = newMembers(1);
  const at = new Date(0).toISOString();
  const events = ["job:claimed", "job:phase", "job:lost", "job:claimed", "job:phase"];
  const lines = events.map((event) => JSON.stringify({ at, event, id: "a" }));
  member!.begin({ name: "r", lines } as unknown as RunnerProcess);
  member!.noteLeases({ name: "claim_pending_videos", text: '[{"id":"a"}]' } as Call);
  member!.readLog();
  assert.deepEqual([...member!.leased], ["a"]);
});

Deno.test("interruptions: a job started a fourth time → always a problem", () => {
  const members = newMembers(1);
  const interruptions = countInterruptions(members);
  for (let life = 1; life <= 3; life++) live(members[0]!, [CLAIMED, BEGUN]);
  assert.deepEqual(interruptions.problems(["a"]), []);
  live(members[0]!, [CLAIMED, BEGUN, ["job:finished"]]);
  assert.match(interruptions.problems(["a"]).join(), /started 4 times/);
});

Deno.test("missedGates: a clean run → none; a bad one → every missed gate", () => {
  const clean: ChaosReport = {
    seed: 1,
    seconds: 1,
    jobs: 1,
    copies: 2,
    coverage: Object.fromEntries(POINTS.map((point) => [point, {}])) as ChaosReport["coverage"],
    missed: [],
    noSmallDisk: null,
    runs: { 1: 1 },
    taken: { 0: 1 },
    diskFull: 0,
    drainSeconds: 1,
    postgresAwayMs: [],
    slotsInUse: 0.95,
    handedOnSeconds: [11],
    problems: [],
  };
  assert.deepEqual(missedGates(clean), []);
  const bad: ChaosReport = {
    ...clean,
    problems: ["a problem"],
    missed: [["during upload", "5xx"]],
    slotsInUse: 0.94,
    handedOnSeconds: [10, 11.6],
  };
  assert.deepEqual(missedGates(bad), [
    "a problem",
    "did not happen: during upload × 5xx",
    "utilisation while jobs wait: 0.94",
    "a killed runner's jobs were rescued after 10, 11.6 s",
  ]);
});
