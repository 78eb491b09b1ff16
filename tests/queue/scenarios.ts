/** All scenarios by group. `deno task test` runs them; `deno task queue:mutants` checks that they detect each mutant of the SQL. */
import type { Scenario } from "./fixture/queue_fixture.ts";
import { ARCHIVE } from "./scenarios/archive.ts";
import { BAD_INPUT } from "./scenarios/bad_input.ts";
import { CANDIDATES } from "./scenarios/candidates.ts";
import { CLAIM } from "./scenarios/claim.ts";
import { CLAIM_RACES } from "./scenarios/claim_races.ts";
import { CONCURRENCY } from "./scenarios/concurrency.ts";
import { CONFIGURATION } from "./scenarios/configuration.ts";
import { COUNTS } from "./scenarios/counts.ts";
import { DEADLOCKS } from "./scenarios/deadlocks.ts";
import { DERIVED } from "./scenarios/derived.ts";
import { ENQUEUE } from "./scenarios/enqueue.ts";
import { HEIGHTS } from "./scenarios/heights.ts";
import { LEASES } from "./scenarios/leases.ts";
import { LIMITS } from "./scenarios/limits.ts";
import { MISSING_REPLICAS } from "./scenarios/missing_replicas.ts";
import { NOTIFICATION_FAILURES } from "./scenarios/notification_failures.ts";
import { NOTIFICATIONS } from "./scenarios/notifications.ts";
import { OPERATORS } from "./scenarios/operators.ts";
import { RACES } from "./scenarios/races.ts";
import { READ_EPISODE } from "./scenarios/read_episode.ts";
import { REARCHIVE } from "./scenarios/rearchive.ts";
import { REPLICAS } from "./scenarios/replicas.ts";
import { REPORTS } from "./scenarios/reports.ts";
import { RESOURCE_LEASES } from "./scenarios/resource_leases.ts";
import { RIGHTS } from "./scenarios/rights.ts";
import { SAVE_SOURCES } from "./scenarios/save_sources.ts";
import { SOURCE_READS } from "./scenarios/source_reads.ts";
import { STORAGE_TARGETS } from "./scenarios/storage_targets.ts";
import { STORM } from "./scenarios/storm.ts";
import { SWEEP } from "./scenarios/sweep.ts";
import { TAKEDOWNS } from "./scenarios/takedowns.ts";
import { UPGRADES } from "./scenarios/upgrades.ts";

export const SCENARIOS: Readonly<Record<string, readonly Scenario[]>> = {
  enqueue: ENQUEUE,
  claim: CLAIM,
  reports: REPORTS,
  leases: LEASES,
  operators: OPERATORS,
  candidates: CANDIDATES,
  archive: ARCHIVE,
  heights: HEIGHTS,
  rearchive: REARCHIVE,
  replicas: REPLICAS,
  upgrades: UPGRADES,
  "missing replicas": MISSING_REPLICAS,
  "storage targets": STORAGE_TARGETS,
  takedowns: TAKEDOWNS,
  notifications: NOTIFICATIONS,
  "notification failures": NOTIFICATION_FAILURES,
  "bad input": BAD_INPUT,
  "read episode": READ_EPISODE,
  "save sources": SAVE_SOURCES,
  "source reads": SOURCE_READS,
  configuration: CONFIGURATION,
  rights: RIGHTS,
  sweep: SWEEP,
  counts: COUNTS,
  "resource leases": RESOURCE_LEASES,
  limits: LIMITS,
  derived: DERIVED,
  concurrency: CONCURRENCY,
  races: RACES,
  "claim races": CLAIM_RACES,
  deadlocks: DEADLOCKS,
  storm: STORM,
};
