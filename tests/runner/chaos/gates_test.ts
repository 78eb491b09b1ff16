/** That the gates of a chaos run can be missed: how runs and takings are counted from what runners say, and what is told of a report. */
import assert from "node:assert/strict";
import type { RunnerProcess } from "../../../dev/testing/runner_fixture.ts";
import type { Call } from "../fault_proxy.ts";
import { type Member, newMembers } from "./runner_pool.ts";
import { POINTS } from "./fault_plan.ts";
import { type ChaosReport, missedGates } from "./report.ts";
import { createTakings } from "./takings.ts";

type Line = readonly [event: string, more?: Readonly<Record<string, string>>];

const CLAIMED: Line = ["job:claimed"];
const BEGUN: Line = ["job:phase"];
const STOPPING: Line = ["runner:stopping", { id: "" }];

/** A process that says this about job "a", may sleep beyond its lease, says the rest and ends. */
function live(member: Member, said: readonly Line[], { thenSleeps = false, rest = [] as Line[] } = {}): void {
  const at = new Date(0).toISOString();
  const lines: string[] = [];
  const say = (more: readonly Line[]) =>
    lines.push(...more.map(([event, more]) => JSON.stringify({ at, event, id: "a", ...more })));
  member.begin({ name: "r", lines } as unknown as RunnerProcess);
  say(said);
  if (thenSleeps) member.sleptOver("a");
  say(rest);
  member.bury();
}

const CASES: readonly [what: string, said: readonly Line[], begun: number, taken: number][] = [
  ["killed", [CLAIMED, BEGUN], 1, 1],
  ["claimed and not begun", [CLAIMED], 0, 0],
  ["ready", [CLAIMED, BEGUN, ["job:finished"]], 1, 0],
  ["failed by itself", [CLAIMED, BEGUN, ["job:failed", { code: "storage_5xx" }]], 1, 0],
  ["without room", [CLAIMED, BEGUN, ["job:released", { reason: "disk_full: no space left" }]], 1, 1],
  ["lost for no reason", [CLAIMED, BEGUN, ["job:lost", { reason: "x" }]], 1, 0],
  ["lost in a stop", [CLAIMED, BEGUN, STOPPING, ["job:lost", { reason: "x" }]], 1, 1],
  ["released for a stop", [CLAIMED, BEGUN, STOPPING, ["job:released", { reason: "the runner is stopping" }]], 1, 1],
  ["released for another reason", [CLAIMED, BEGUN, STOPPING, ["job:released", { reason: "held" }]], 1, 0],
];

for (const [what, said, begun, taken] of CASES) {
  Deno.test(`takings of a job ${what} → begun ${begun} ×, taken away ${taken} ×`, () => {
    const members = newMembers(2);
    live(members[0]!, said);
    const takings = createTakings(members);
    assert.deepEqual([takings.begun("a"), takings.of("a")], [begun, taken]);
    live(members[1]!, [CLAIMED, BEGUN, ["job:finished"]]);
    assert.equal(takings.problems(["a"]).length, begun > taken ? 1 : 0, "begun once more");
  });
}

Deno.test("takings of a job whose lease ended in a sleep → one, however it ends and whenever it is heard of", () => {
  const lost: Line = ["job:lost", { reason: "x" }];
  for (const rest of [[lost], [STOPPING, lost], []]) {
    const members = newMembers(1);
    live(members[0]!, [CLAIMED, BEGUN], { thenSleeps: true, rest });
    assert.equal(createTakings(members).of("a"), 1);
  }
  const members = newMembers(1);
  live(members[0]!, [], { thenSleeps: true, rest: [CLAIMED, BEGUN, lost] });
  assert.equal(createTakings(members).of("a"), 1);
});

Deno.test("a job that is lost and claimed again by the same process, heard of after the claim was seen → still leased", () => {
  const [member] = newMembers(1);
  const at = new Date(0).toISOString();
  const events = ["job:claimed", "job:phase", "job:lost", "job:claimed", "job:phase"];
  const lines = events.map((event) => JSON.stringify({ at, event, id: "a" }));
  member!.begin({ name: "r", lines } as unknown as RunnerProcess);
  member!.noteLeases({ name: "claim_pending_videos", text: '[{"id":"a"}]' } as Call);
  member!.look();
  assert.deepEqual([...member!.leased], ["a"]);
});

Deno.test("takings of a job begun a fourth time → a problem in any case", () => {
  const members = newMembers(1);
  const takings = createTakings(members);
  for (let life = 1; life <= 3; life++) live(members[0]!, [CLAIMED, BEGUN]);
  assert.deepEqual(takings.problems(["a"]), []);
  live(members[0]!, [CLAIMED, BEGUN, ["job:finished"]]);
  assert.match(takings.problems(["a"]).join(), /begun 4 times/);
});

Deno.test("missedGates tells each gate that was missed, and nothing of a clean run", () => {
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
    missed: [["mid-upload", "5xx"]],
    slotsInUse: 0.94,
    handedOnSeconds: [10, 11.6],
  };
  assert.deepEqual(missedGates(bad), [
    "a problem",
    "did not strike: mid-upload × 5xx",
    "slots in use while work waits: 0.94",
    "a killed runner's jobs were handed on after 10, 11.6 s",
  ]);
});
