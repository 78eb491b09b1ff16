/** Load of the machine and of a process tree, from /proc (Linux). */
const PAGE_BYTES = 4096;
const TICKS_PER_SECOND = 100;

/** Waits until the processors have been idle for a second, at most `seconds`. */
export async function untilIdle(seconds: number): Promise<void> {
  for (let waited = 0; waited < seconds; waited++) {
    const busy = watchBusy();
    await new Promise((done) => setTimeout(done, 1000));
    if (busy(0) < 0.1) return;
  }
}

/** Returns a function that computes the share of CPU time used by other programs, given the seconds that our own used meanwhile. */
export function watchBusy(): (ownSeconds: number) => number {
  const before = times();
  return (ownSeconds) => {
    const after = times();
    const own = ownSeconds * TICKS_PER_SECOND;
    const busy = (after.all - before.all - (after.idle - before.idle) - own) / (after.all - before.all);
    return Number(Math.max(0, busy).toFixed(2));
  };
}

/** Of a process, without its children. */
export function processorSeconds(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/**
 * Resident bytes of the processes below `pid`, and of itself if requested. Shared pages count in each. A forked child that has not
 * started its program yet is still a copy of its parent, and does not count.
 */
export function residentBytes(pid: number, options: { itself: boolean }): number {
  let sum = 0;
  const below = [{ pid, counts: options.itself, parent: "" }];
  for (let next = below.pop(); next !== undefined; next = below.pop()) {
    try {
      const program = Deno.readLinkSync(`/proc/${next.pid}/exe`);
      if (next.counts && program !== next.parent) {
        sum += Number(Deno.readTextFileSync(`/proc/${next.pid}/statm`).split(" ")[1]) * PAGE_BYTES;
      }
      for (const task of Deno.readDirSync(`/proc/${next.pid}/task`)) {
        const children = Deno.readTextFileSync(`/proc/${next.pid}/task/${task.name}/children`);
        for (const child of children.split(" ")) {
          if (child !== "") below.push({ pid: Number(child), counts: true, parent: program });
        }
      }
    } catch {
      // it has ended
    }
  }
  return sum;
}

function times(): { idle: number; all: number } {
  const fields = Deno.readTextFileSync("/proc/stat").split("\n")[0]!.trim().split(/\s+/).slice(1, 9).map(Number);
  return { idle: fields[3]!, all: fields.reduce((sum, value) => sum + value, 0) };
}
