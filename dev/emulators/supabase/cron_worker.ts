/**
 * Runs the jobs of `cron.job` like pg_cron's launcher: each under its owner's name, never twice at the same time,
 * intervals counted from the end of the last run, outcomes in `cron.job_run_details`.
 */
import createClient, { type Sql } from "postgres";
import { RECONNECT_SECONDS } from "./transaction.ts";
import { parseSchedule, type Schedule } from "./cron_schedule.ts";

const TICK_MS = 1000;

export interface CronWorker {
  stop(): Promise<void>;
}

export interface CronWorkerOptions {
  /** As the superuser, like the real launcher. */
  readonly databaseUrl: string;
  readonly log?: (line: string) => void;
  readonly now?: () => Date;
}

interface Job {
  readonly jobid: string;
  readonly schedule: string;
  readonly command: string;
  readonly username: string;
  readonly database: string;
}

interface Task {
  readonly job: Job;
  readonly schedule: Schedule;
  nextRun: number;
  running: boolean;
}

export async function startCronWorker(options: CronWorkerOptions): Promise<CronWorker> {
  const log = options.log ?? (() => {});
  const now = options.now ?? (() => new Date());
  const sql = createClient(options.databaseUrl, {
    max: 4,
    onnotice: () => {},
    fetch_types: false, // nothing could catch a failure of that query
    backoff: () => RECONNECT_SECONDS,
    connection: { application_name: "pg_cron scheduler" },
  });
  const startedAt = now().getTime();
  let tasks = new Map<string, Task>();
  let lastMinute = minuteOf(now());
  const runs = new Set<Promise<void>>();

  const read = async () => {
    const [installed] = await sql`select to_regclass('cron.job') is not null as yes`;
    const jobs = installed?.yes
      ? await sql<Job[]>`select jobid, schedule, command, username, database from cron.job where active order by jobid`
      : [];
    tasks = new Map(jobs.map((job) => [job.jobid, taskOf(job, tasks.get(job.jobid), now().getTime())]));
  };
  const start = (task: Task) => {
    task.running = true;
    const run = runJob(task.job, { sql, databaseUrl: options.databaseUrl }).then((failure) => {
      if (failure) log(`job ${task.job.jobid} failed: ${failure}`);
    }, (error) => log(`job ${task.job.jobid}: ${error instanceof Error ? error.message : error}`)).finally(() => {
      task.running = false;
      if (task.schedule.kind === "interval") task.nextRun = now().getTime() + task.schedule.seconds * 1000;
      runs.delete(run);
    });
    runs.add(run);
  };
  const tick = async () => {
    await read();
    const minute = minuteOf(now());
    const newMinutes = minute > lastMinute;
    for (const task of tasks.values()) {
      if (!task.running && isDue(task, { now: now(), newMinute: newMinutes, startedAt })) start(task);
    }
    lastMinute = Math.max(minute, lastMinute);
  };

  const stopped = Promise.withResolvers<void>();
  let isStopped = false;
  const loop = (async () => {
    while (!isStopped) {
      await tick().catch((error) => log(`cannot read cron.job: ${error instanceof Error ? error.message : error}`));
      await pause(TICK_MS, stopped.promise);
    }
  })();
  await read().catch(() => {}); // the first tick reports the reason
  return {
    async stop() {
      isStopped = true;
      stopped.resolve();
      await loop;
      await sql.end({ timeout: 2 }); // cancels running jobs
      await Promise.allSettled(runs);
    },
  };
}

function taskOf(job: Job, before: Task | undefined, now: number): Task {
  const same = before?.job.schedule === job.schedule;
  if (before && same) return Object.assign(before, { job });
  const schedule = parseSchedule(job.schedule);
  const nextRun = schedule.kind === "interval" ? now + schedule.seconds * 1000 : 0;
  return { job, schedule, nextRun, running: before?.running ?? false };
}

function isDue(task: Task, at: { now: Date; newMinute: boolean; startedAt: number }): boolean {
  switch (task.schedule.kind) {
    case "interval":
      return at.now.getTime() >= task.nextRun;
    case "calendar":
      return at.newMinute && task.schedule.matches(at.now);
    case "reboot": {
      const first = task.nextRun === 0;
      task.nextRun = at.startedAt;
      return first;
    }
  }
}

/** Returns why the command failed, otherwise null. */
async function runJob(job: Job, { sql, databaseUrl }: { sql: Sql; databaseUrl: string }): Promise<string | undefined> {
  const [details] = await sql<{ runid: string }[]>`
    insert into cron.job_run_details (jobid, database, username, command, status, start_time)
    values (${job.jobid}, ${job.database}, ${job.username}, ${job.command}, 'running', clock_timestamp())
    returning runid`;
  const outcome = await execute(databaseUrl, job);
  await sql`
    update cron.job_run_details
    set status = ${
    outcome.failed ? "failed" : "succeeded"
  }, return_message = ${outcome.message}, end_time = clock_timestamp()
    where runid = ${details!.runid}`;
  return outcome.failed ? outcome.message : undefined;
}

/** In a separate connection, as pg_cron does, so that a job's settings end with it. */
async function execute(databaseUrl: string, job: Job): Promise<{ failed: boolean; message: string }> {
  const sql = createClient(databaseUrl, {
    max: 1,
    onnotice: () => {},
    fetch_types: false,
    connection: { application_name: "pg_cron", role: job.username },
  });
  try {
    const result = await sql.unsafe(job.command);
    const last = Array.isArray(result) && "command" in result ? result : (result as unknown[]).at(-1);
    const { command, count } = last as { command?: string; count?: number };
    const rows = `${count} row${count === 1 ? "" : "s"}`;
    return { failed: false, message: command === "SELECT" ? rows : `${command ?? ""} ${count ?? ""}`.trim() };
  } catch (error) {
    return { failed: true, message: `ERROR:  ${error instanceof Error ? error.message : error}` };
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function minuteOf(date: Date): number {
  return Math.floor(date.getTime() / 60_000);
}

async function pause(milliseconds: number, until: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  await Promise.race([promise, until]);
  clearTimeout(timer);
}
