/** The point of a job's life that a call of its runner marks. Pure. Example: `pointOf("queue", call)` → "during download". */
import type { Side } from "./runner_pool.ts";
import type { Point } from "./fault_plan.ts";
import type { Call } from "../fault_proxy.ts";

export function pointOf(side: Side, { name, when, text }: Call): Point | null {
  if (side === "cdn") return when === "before" && name === "part 2" ? "during upload" : null;
  if (side !== "queue") return null;
  const before = when === "before";
  switch (name) {
    case "claim_pending_videos":
      if (before) return "before claim";
      return text.length > 5 ? "claim committed, response lost" : null;
    case "extend_video_lease":
      if (!before) return text.length > 5 ? "during a heartbeat" : null;
      return /"phase":"downloading","bytes_done":[1-9]/.test(text) ? "during download" : null;
    case "update_video_queue_status":
      if (before && text.includes('"status":"pending"')) return "during a release";
      if (!text.includes('"status":"uploading"')) return null;
      return before ? "after download" : "before upload";
    case "upsert_video_store":
      return before ? "committed, not recorded" : "archive recorded, response lost";
    case "complete_replica":
      return before ? "between replicas" : null;
    default:
      return null;
  }
}
