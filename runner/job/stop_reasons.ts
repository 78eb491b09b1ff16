/** Reasons to abort a job that are no failure of it. Runs on: Deno. */

/** The runner is stopping: the job is given back. */
export class Stopped extends Error {}

/** An operator said so. */
export class Cancelled extends Error {}
