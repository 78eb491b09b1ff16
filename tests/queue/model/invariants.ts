/**
 * Invariants that can be checked from the tables at any time, as one query that names the violated
 * ones. run_model.ts checks the others, which depend on the call.
 */
import type { Sql } from "postgres";

const CHECKS: Readonly<Record<string, string>> = {
  "a further height belongs to a job of the same episode and provider, which is none itself": `
    select 1 from public.video_queue h left join public.video_queue m on m.id = h.height_of
    where h.height_of is not null and (m.id is null or m.height_of is not null
      or (m.mal_id, m.episode, m.provider) is distinct from (h.mal_id, h.episode, h.provider))`,
  "one row per key, null included": `
    select 1 from public.video_queue group by mal_id, episode, provider, resolution having count(*) > 1`,
  "at most one live lease per key": `
    select 1 from public.video_queue where lease_token is not null group by lease_token having count(*) > 1`,
  "lease if and only if active": `
    select 1 from public.video_queue where (status in ('downloading', 'uploading')) <> (lease_token is not null)
      or (lease_token is null) <> (lease_expires_at is null)`,
  "the list of leases names the leased jobs": `
    select 1 from (select q.id from public.video_queue q where q.lease_token is not null) q
    full join keepstream.video_leases l on l.queue_id = q.id where q.id is null or l.queue_id is null`,
  "a ready job has a store row": `
    select 1 from public.video_queue q left join public.video_store s on s.queue_id = q.id
    where q.status = 'ready' and s.id is null`,
  "the counts are exact": `
    select 1 from public.archive_totals() t
    where t.ready <> (select count(*) from public.video_queue q where q.status = 'ready')
      or t.archived <> (select count(*) from public.video_store)`,
  "a failed re-archive says that the old archive stays": `
    select 1 from public.video_queue q join public.video_store s on s.queue_id = q.id
    where q.status = 'failed' and q.error_message not like 'the old archive stays: %'`,
  "no obsolete copy is one that is served": `
    select 1 from keepstream.obsolete_copies o join public.video_replicas r using (target, repo, path)
    where r.state = 'verified' and not exists (
      select from public.video_store s where s.id = r.store_id and (s.mal_id, s.episode) = (o.mal_id, o.episode))`, // claim_obsolete_copies skips these
  "the store row carries the job's key": `
    select 1 from public.video_queue q join public.video_store s on s.queue_id = q.id
    where (q.mal_id, q.episode, q.provider, q.resolution) is distinct from (s.mal_id, s.episode, s.provider, s.resolution)`,
  "a store row has a copy, verified or only missing": `
    select 1 from public.video_store s where not exists (
      select from public.video_replicas r
      where r.store_id = s.id and (r.state = 'verified' or r.missing_since is not null))`,
  "attempts are at most max_attempts": `
    select 1 from public.video_queue where attempts > max_attempts or attempts < 0`,
  "attempts = claims − releases, retry_count = failures + rescues, since the last reset": `
    with last_reset as (
      select e.queue_id, max(e.id) as id from keepstream.events e
      where e.kind in ('enqueued', 'rearchived') or (e.kind = 'revived' and e.detail ->> 'reset' = 'true') group by e.queue_id
    )
    select 1 from public.video_queue q join last_reset l on l.queue_id = q.id
    where q.attempts <> (select count(*) filter (where e.kind = 'claimed') - count(*) filter (where e.kind = 'released')
        from keepstream.events e where e.queue_id = q.id and e.id > l.id)
      or q.retry_count <> (select count(*) filter (where e.kind in ('failed', 'rescued'))
        from keepstream.events e where e.queue_id = q.id and e.id > l.id)`,
  "one completed event per archive": `
    select 1 from keepstream.events e where e.kind = 'completed'
    group by e.queue_id, e.lease_epoch having count(*) > 1`,
  "claims = completed + failed + released + rescued + held": `
    select 1 from (
      select e.queue_id, count(*) filter (where e.kind = 'claimed') as claims,
        count(*) filter (where e.kind in ('completed', 'failed', 'released', 'rescued')) as ends
      from keepstream.events e group by e.queue_id
    ) c left join public.video_queue q on q.id = c.queue_id
    where c.claims <> c.ends + (q.lease_token is not null)::int
      and not (q.id is null and c.claims = c.ends + 1)`, // taken down while it was leased
  "the event log folds to the status": `
    select 1 from public.video_queue q
    where q.status is distinct from (
      select e.to_status from keepstream.events e
      where e.queue_id = q.id and e.to_status is not null order by e.id desc limit 1)`,
  "the chain from last_event holds all status changes": `
    select 1 from public.video_queue q
    where (select array_agg(e.id order by e.id) from keepstream.events e where e.queue_id = q.id)
      is distinct from (select array_agg(h.id) from keepstream.history(q.id) h)`,
  "a row that can still be claimed carries its live candidates": `
    select 1 from public.video_queue q where q.finished_at is null and q.candidates is distinct from
      keepstream.live_candidates(q.id, (q.candidates -> 0 ->> 'id')::uuid)`,
  "ready has no error text": `
    select 1 from public.video_queue where status = 'ready' and (error_message is not null or error_class is not null)`,
  "only a leased job has a pending cancel": `
    select 1 from public.video_queue where cancel_requested_at is not null and lease_token is null`,
  "a verified copy holds the archive's bytes": `
    select 1 from public.video_store s join public.video_replicas r on r.store_id = s.id
    where r.state = 'verified' and (r.sha256 is distinct from s.sha256 or r.size_bytes is distinct from s.size_bytes)`,
  "the primary is a verified copy, if there is one": `
    select 1 from public.video_store s where not exists (
      select from public.video_replicas r
      where r.store_id = s.id and r.state = 'verified' and r.repo = s.hf_repo and r.path = s.hf_path)
      and exists (select from public.video_replicas r where r.store_id = s.id and r.state = 'verified')`,
};

const QUERY = Object.entries(CHECKS)
  .map(([name, sql]) => `select '${name.replaceAll("'", "''")}' as broken where exists (${sql})`)
  .join("\nunion all\n");

/** Names of the violated invariants. */
export async function brokenInvariants(sql: Sql): Promise<string[]> {
  const rows = await sql.unsafe<{ broken: string }[]>(QUERY);
  return rows.map((row) => row.broken);
}
