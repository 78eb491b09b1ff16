/**
 * Injects faults into runners: sees every call, and executes the planned fault for its point if the runner may have it now.
 * Example: `const faults = new Faults({ stage, plan, interruptions, … }); startRunnerPool({ strike: faults.onCall, … })`.
 */
import { sleep } from "../../../core/sleep.ts";
import type { Call, Verdict } from "../fault_proxy.ts";
import type { Member, Side } from "./runner_pool.ts";
import type { Fault, FaultPlan, Point } from "./fault_plan.ts";
import { pointOf } from "./points.ts";
import { LEASE_SECONDS, type Stage } from "./stage.ts";
import { endLeases } from "./sweeper.ts";
import type { Interruptions } from "./interruptions.ts";

/** The runner whose disk can be filled. */
export const SMALL_DISK_RUNNER = 2;
const STRIKE_GAP_MS = 250;
const CRASH_GAP_MS = 4000;
const FULL_DISK_MS = 1500;

/** Faults that interrupt the runner's jobs. The others may only delay a job. */
const INTERRUPTING: ReadonlySet<Fault> = new Set(["SIGKILL", "SIGSTOP beyond the lease", "SIGTERM", "no space left"]);
const AWAY: Verdict = { status: 503, body: '{"code":"PGRST001","message":"chaos"}' };

/** beside: during no call; faults of calls apply to the next one. */
type When = Call["when"] | "beside";

export type FaultsOptions = {
  readonly stage: Pick<Stage, "ask" | "cluster" | "disk">;
  readonly plan: FaultPlan;
  readonly interruptions: Interruptions;
  /** Let the lease of a sleeping runner really expire once, during a download. */
  readonly sleepsForReal: boolean;
  readonly log: (line: string) => void;
};

export class Faults {
  readonly #options: FaultsOptions;
  readonly #postgresAwayMs: number[] = [];
  #striking = false;
  #lastStrikeAt = -Infinity;
  #lastCrashAt = -Infinity;
  #crash: Promise<void> | null = null;
  #fullDisk: Promise<void> | null = null;
  #conflict = 412;

  constructor(options: FaultsOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#striking = true;
  }

  /** Ends all faults and waits for the repairs. */
  async end(members: readonly Member[]): Promise<void> {
    this.#striking = false;
    for (const member of members) member.nextCall = member.nextCommit = null;
    await this.#crash;
    await this.#fullDisk;
  }

  get postgresIsAway(): boolean {
    return this.#crash !== null;
  }

  get postgresAwayMs(): readonly number[] {
    return this.#postgresAwayMs;
  }

  readonly onCall = async (member: Member, side: Side, call: Call): Promise<Verdict> => {
    const owed = member.owes(side, call);
    if (owed !== null) return owed;
    if (side === "queue" && call.when === "after") member.noteLeases(call);
    const point = pointOf(side, call);
    return point === null ? "pass" : await this.strikeAt(point, { member, when: call.when });
  };

  /** Whether a planned fault for this point is possible for this runner now. */
  mayStrike(point: Point, member: Member): boolean {
    return this.#isTime(point, member) && this.#options.plan.waiting(point).some((fault) => this.#fits(fault, member));
  }

  /** Executes the next fault for this point, if there is one. */
  async strikeAt(point: Point, at: { member: Member; when: When }): Promise<Verdict> {
    const { plan, log } = this.#options;
    const fault = this.#isTime(point, at.member) ? plan.take(point, (fault) => this.#fits(fault, at.member)) : null;
    if (fault === null) return "pass";
    this.#lastStrikeAt = performance.now();
    const { name } = at.member;
    const hit = () => {
      plan.hit(point, fault);
      log(`${fault} – ${point} – ${name}`);
    };
    try {
      return await this.#strike(fault, {
        ...at,
        hit,
        real: this.#options.sleepsForReal && point === "during download",
      });
    } catch (error) {
      plan.putBack(point, fault);
      log(`${fault} – ${point} – ${name}: failed: ${error}`);
      return "pass";
    }
  }

  /** One fault at a time. A stopping runner is only due during a release, which must not be missed. */
  #isTime(point: Point, member: Member): boolean {
    if (!this.#striking || this.postgresIsAway) return false;
    if (point === "during a release") return true;
    return member.idle && performance.now() - this.#lastStrikeAt > STRIKE_GAP_MS;
  }

  #fits(fault: Fault, member: Member): boolean {
    if (INTERRUPTING.has(fault) && this.#options.interruptions.spares(member)) return false;
    switch (fault) {
      case "no space left":
        return member.index === SMALL_DISK_RUNNER && this.#fullDisk === null;
      case "Postgres crash":
        return performance.now() - this.#lastCrashAt > CRASH_GAP_MS;
      case "storage 409/412":
        return member.nextCommit === null;
      default:
        return member.nextCall === null;
    }
  }

  async #strike(
    fault: Fault,
    { member, when, hit, real }: { member: Member; when: When; hit: () => void; real: boolean },
  ): Promise<Verdict> {
    const onNextCall = (verdict: Verdict): Verdict => {
      member.nextCall = () => (hit(), verdict);
      return "pass";
    };
    const onThisCall = (verdict: Verdict): Verdict => (hit(), verdict);
    switch (fault) {
      case "SIGKILL":
      case "SIGTERM":
        member.idle = false;
        member.signal(fault);
        return onThisCall(fault === "SIGKILL" ? "lose" : "pass");
      case "SIGSTOP beyond the lease":
        await this.#sleep(member, { real });
        return onThisCall("pass");
      case "request lost":
        return when === "before" ? onThisCall("lose") : onNextCall("lose");
      case "response lost":
        return when === "beside" ? onNextCall("lose_response") : onThisCall("lose_response");
      case "5xx":
        return when === "beside" ? onNextCall(AWAY) : onThisCall(AWAY);
      case "storage 409/412":
        member.nextCommit = () => (hit(), this.#refusedCommit());
        return "pass";
      case "Postgres crash":
        await this.#crashPostgres();
        return onThisCall("pass");
      case "no space left":
        await this.#fillDisk();
        return onThisCall("pass");
    }
  }

  /** Sleeps until another runner has the jobs; its own writes arrive afterwards. */
  async #sleep(member: Member, { real }: { real: boolean }): Promise<void> {
    const { ask } = this.#options.stage;
    const { name } = member;
    const wasIdle = member.idle;
    member.idle = false;
    member.signal("SIGSTOP");
    try {
      await sleep(200); // its last calls have arrived
      const leased = await ask((sql) =>
        sql<{ id: string }[]>`
          select id from public.video_queue
          where split_part(lease_owner, '#', 1) = ${name} and lease_token is not null`
      );
      for (const { id } of leased) member.sleptOver(id);
      if (real) await sleep((LEASE_SECONDS + 2) * 1000);
      else await endLeases(ask, [name]);
      await sleep(1500);
    } finally {
      member.signal("SIGCONT");
      if (member.name === name) member.idle = wasIdle;
    }
  }

  async #crashPostgres(): Promise<void> {
    this.#lastCrashAt = performance.now();
    const crashed = this.#options.stage.cluster.crash();
    this.#crash = crashed.then(({ up }) => up).then((ms) => {
      this.#postgresAwayMs.push(ms);
      this.#crash = null;
    });
    await crashed;
  }

  async #fillDisk(): Promise<void> {
    const disk = this.#options.stage.disk!;
    const filled = disk.fill();
    this.#fullDisk = filled.then(() => sleep(FULL_DISK_MS)).then(disk.free).then(() => void (this.#fullDisk = null));
    await filled;
  }

  /** Alternates between 409 and 412. */
  #refusedCommit(): Verdict {
    this.#conflict = this.#conflict === 409 ? 412 : 409;
    const error = this.#conflict === 409
      ? "Another commit operation is in progress for this repository"
      : "A commit has happened since. Please refresh and try again.";
    return { status: this.#conflict, body: JSON.stringify({ error }) };
  }
}
