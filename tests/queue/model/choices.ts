/** How often the model test chooses each operation, and from which values. */
import type { Status } from "./queue_model.ts";

export const OPERATIONS = {
  enqueue: 18,
  enqueueBatch: 4,
  claim: 18,
  report: 30,
  complete: 16,
  replay: 4,
  extend: 8,
  cancel: 3,
  sweep: 8,
  travel: 14,
  retryByOperator: 2,
  rearchive: 1,
  loseCopy: 3,
  repair: 4,
  enqueueHeights: 5,
  claimHeight: 5,
  holdHeights: 3,
  asAnon: 1,
} as const;
export type Operation = keyof typeof OPERATIONS;

export const EPISODES = [1, 2, 3];
export const RESOLUTIONS = ["720p", null];
/** 720 is a listed server's label, too. */
export const HEIGHTS = [360, 480, 720];
export const URLS = Array.from({ length: 5 }, (_, n) => `https://host-${n}.test/v.mp4`);
export const REPORTS: Readonly<Record<Status, number>> = {
  downloading: 3,
  uploading: 10,
  pending: 3,
  failed: 9,
  ready: 1,
};
export const CLASSES = {
  network: 4,
  rate_limited: 1,
  storage_conflict: 2,
  source_expired: 6,
  drm: 3,
  unsupported: 1,
  shutdown: 2,
  cancelled: 1,
  lease_expired: 1,
  "?": 1,
};
export const TRAVELS = [3, 20, 45, 130, 700, 30_000];
