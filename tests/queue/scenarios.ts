/** All scenarios by group: what `deno task test` runs, and what has to notice each mutant of the SQL. */
import type { Scenario } from "./fixture/queue_fixture.ts";
import { ARCHIVE } from "./scenarios/archive.ts";
import { BAD_INPUT } from "./scenarios/bad_input.ts";
import { CANDIDATES } from "./scenarios/candidates.ts";
import { CLAIM_RACES } from "./scenarios/claim_races.ts";
import { CONCURRENCY } from "./scenarios/concurrency.ts";
import { DEADLOCKS, STORM } from "./scenarios/deadlocks.ts";
import { DERIVED } from "./scenarios/derived.ts";
import { EPISODE } from "./scenarios/episode.ts";
import { LEASES } from "./scenarios/leases.ts";
import { LIMITS } from "./scenarios/limits.ts";
import { RACES } from "./scenarios/races.ts";
import { SOURCE_READS } from "./scenarios/source_reads.ts";
import { REARCHIVE } from "./scenarios/rearchive.ts";
import { RIGHTS } from "./scenarios/rights.ts";
import { TRANSITIONS } from "./scenarios/transitions.ts";
import { UPKEEP } from "./scenarios/upkeep.ts";
import { NOTIFICATION } from "./scenarios/notification.ts";

export const SCENARIOS: Readonly<Record<string, readonly Scenario[]>> = {
  transitions: TRANSITIONS,
  candidates: CANDIDATES,
  archive: ARCHIVE,
  rearchive: REARCHIVE,
  notification: NOTIFICATION,
  "bad input": BAD_INPUT,
  episode: EPISODE,
  "source reads": SOURCE_READS,
  upkeep: UPKEEP,
  concurrency: CONCURRENCY,
  limits: LIMITS,
  derived: DERIVED,
  leases: LEASES,
  rights: RIGHTS,
  races: RACES,
  "claim races": CLAIM_RACES,
  deadlocks: DEADLOCKS,
  storm: STORM,
};
