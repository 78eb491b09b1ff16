/** Reasons to abort a job that are not failures of the job. */

/** The runner is stopping. The job is released. */
export class ShutdownError extends Error {}

/** Cancelled by an operator. */
export class Cancelled extends Error {}
