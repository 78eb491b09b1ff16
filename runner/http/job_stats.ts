/** Recently ended jobs and totals, for the status page and the metrics. Example: `totals()` → { finished: 3 }. */
import type { Events, RunnerEvent } from "../events.ts";

const KEPT = 20;
const OUTCOMES = {
  "job:finished": "finished",
  "job:failed": "failed",
  "job:released": "released",
  "job:lost": "lost",
} as const;

export type EndedJob = Readonly<Record<string, unknown>> & { readonly message?: string | undefined };

type Claimed = Extract<RunnerEvent, { event: "job:claimed" }>;

export function keepJobStats(events: Events, now: () => Date) {
  const totals: Record<string, number> = { finished: 0, failed: 0, released: 0, lost: 0 };
  const claimed = new Map<string, Claimed>();
  const recent: EndedJob[] = [];
  events.on((event) => {
    if (event.event === "job:claimed") claimed.set(event.id, event);
    if (!(event.event in OUTCOMES) || !("id" in event)) return;
    const outcome = OUTCOMES[event.event as keyof typeof OUTCOMES];
    totals[outcome] = (totals[outcome] ?? 0) + 1;
    const job = claimed.get(event.id);
    claimed.delete(event.id);
    recent.unshift({
      at: now().toISOString(),
      outcome,
      mal_id: job?.malId,
      episode: job?.episode,
      provider: job?.provider,
      resolution: job?.resolution,
      ...(event.event === "job:failed" ? { code: event.code, message: event.message } : {}),
    });
    recent.length = Math.min(recent.length, KEPT);
  });
  return { totals: () => totals, recent: () => recent };
}
