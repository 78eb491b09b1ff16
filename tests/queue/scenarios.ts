/** All scenarios by group: what `deno task test` runs, and what has to notice each mutant of the SQL. */
import type { Scenario } from "./queue_fixture.ts";
import { ARCHIVE } from "./scenarios/archive.ts";
import { CANDIDATES } from "./scenarios/candidates.ts";
import { TRANSITIONS } from "./scenarios/transitions.ts";

export const SCENARIOS: Readonly<Record<string, readonly Scenario[]>> = {
  transitions: TRANSITIONS,
  candidates: CANDIDATES,
  archive: ARCHIVE,
};
