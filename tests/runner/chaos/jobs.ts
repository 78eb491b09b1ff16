/** The jobs of a run: an episode each, MP4 and HLS alternating. Example: `await jobs.add(4); await jobs.open()` → 4. */
import { sleep } from "../../../core/sleep.ts";
import { type Stage } from "./stage.ts";

const POLL_MS = 200;

export type Jobs = {
  readonly add: (count: number) => Promise<void>;
  /** Number of unfinished jobs. */
  readonly open: () => Promise<number>;
  /** Waits until all have finished, at most `seconds`. Returns how many have not. */
  readonly allEnded: (seconds?: number) => Promise<number>;
  readonly ids: () => Promise<string[]>;
};

export function createJobs({ ask, media }: Pick<Stage, "ask" | "media">): Jobs {
  let added = 0;
  const jobs: Jobs = {
    async add(count) {
      for (const end = added + count; added < end; added++) {
        const video = { mal_id: 1 + added % 5, episode: 1 + added, provider: "catalogue", ...media.video(added) };
        await ask((sql) => sql`select id from public.enqueue_videos(${JSON.stringify([video])}::text::jsonb)`);
      }
    },
    async open() {
      const [row] = await ask((sql) =>
        sql<{ open: number }[]>`
          select count(*)::int as open from public.video_queue where status <> 'ready' and terminal_at is null`
      );
      return row!.open;
    },
    async allEnded(seconds = Infinity) {
      const end = performance.now() + seconds * 1000;
      for (;;) {
        const open = await jobs.open();
        if (open === 0 || performance.now() > end) return open;
        await sleep(POLL_MS);
      }
    },
    ids: async () => (await ask((sql) => sql<{ id: string }[]>`select id from public.video_queue`)).map(({ id }) => id),
  };
  return jobs;
}
