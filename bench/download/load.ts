/** What the machine and a process tree are doing, from /proc. Runs on: Deno on Linux. */
const PAGE_BYTES = 4096;

/** Waits until the processors idle for a second, at most `seconds`; returns the share that something else took at last. */
export async function untilIdle(seconds = 15): Promise<number> {
  for (let waited = 1;; waited++) {
    const before = times();
    await new Promise((done) => setTimeout(done, 1000));
    const after = times();
    const busy = 1 - (after.idle - before.idle) / (after.all - before.all);
    if (busy < 0.1 || waited >= seconds) return Number(busy.toFixed(2));
  }
}

/** Resident bytes of the processes below `pid`, and of itself where asked; shared pages count in each. */
export function residentBytes(pid: number, options: { itself: boolean }): number {
  let sum = 0;
  const below = [{ pid, counts: options.itself }];
  for (let next = below.pop(); next !== undefined; next = below.pop()) {
    try {
      if (next.counts) sum += Number(Deno.readTextFileSync(`/proc/${next.pid}/statm`).split(" ")[1]) * PAGE_BYTES;
      for (const task of Deno.readDirSync(`/proc/${next.pid}/task`)) {
        const children = Deno.readTextFileSync(`/proc/${next.pid}/task/${task.name}/children`);
        for (const child of children.split(" ")) if (child !== "") below.push({ pid: Number(child), counts: true });
      }
    } catch {
      // it ended meanwhile
    }
  }
  return sum;
}

function times(): { idle: number; all: number } {
  const fields = Deno.readTextFileSync("/proc/stat").split("\n")[0]!.trim().split(/\s+/).slice(1, 9).map(Number);
  return { idle: fields[3]!, all: fields.reduce((sum, value) => sum + value, 0) };
}
