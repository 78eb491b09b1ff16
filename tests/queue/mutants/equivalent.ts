/** Mutants that no test can detect, each with the reason. */
export interface EquivalentMutant {
  readonly name: RegExp;
  readonly change: RegExp;
  /** The changed line. */
  readonly source: RegExp;
  readonly because: string;
}

export const EQUIVALENT: readonly EquivalentMutant[] = [
  {
    name: /./,
    change: /^(<=? → <=?|>=? → >=?)$/,
    source: /moment|clock_timestamp\(\)|now\(\)|cutoff/,
    because: "differs only when a stored microsecond equals the clock's at that very moment",
  },
  {
    name: /^public\.save_sources$/,
    change: /^1 → 2$/,
    source: /max_waiting_jobs/,
    because: "inside exists, one row and two say the same",
  },
  {
    name: /^operator$/,
    change: /authenticated may read it/,
    source: /./,
    because: "the view asks with its reader's rights (security_invoker), and the tables under it refuse",
  },
  {
    name: /^public\.release_resource_lease$/,
    change: /^1 → 2$/,
    source: /returning 1/,
    because: "only the existence of a row is used",
  },
  {
    name: /^public\.update_video_queue_status$/,
    change: /^> → >=$/,
    source: /^if retry_after_seconds > 0 then$/,
    because: "due zero seconds later is due now",
  },
  {
    name: /^keepstream\.back_off_seconds$/,
    change: /^20 → 21$/,
    source: /least\(900, /,
    because: "a base of one second doubled twenty times is beyond the 900 as well",
  },
  {
    name: /^keepstream\.title_lock_class$/,
    change: /./,
    source: /1802204019/,
    because: "any number names the same lock, as long as it is the only place that says it",
  },
  {
    name: /^public\.claim_replica_repairs$/,
    change: /^<= → <$/,
    source: /^if wanted <= 0 then$/,
    because: "a limit of zero finds nothing either way",
  },
  {
    name: /^public\.report_replica_missing$/,
    change: /^1 → 2$/,
    source: /limit 1;$/,
    because: "select into takes the first of two",
  },
  {
    name: /^public\.read_episode$/,
    change: /^(and → or|\+ → -)$/,
    source: /^where p\.enabled and \(l\.provider is null or/,
    because: "only spares a warm response a call that would find nothing due",
  },
  {
    name: /^public\.upsert_video_store$/,
    change: /^and → or$/,
    source: /^if not exists \(select from public\.video_replicas r where r\.store_id = archive\.id/,
    because: "the rule after next refuses the same archive with another message",
  },
  {
    name: /^keepstream\.retry_delay$/,
    change: /^20 → 21$/,
    source: /least\(21600, /,
    because: "a base of one second doubled twenty times is beyond six hours as well",
  },
  {
    name: /^public\.claim_pending_videos$/,
    change: /^> → >=$/,
    source: /^while wanted > 0 loop$/,
    because: "a limit of zero finds nothing either way",
  },
];
