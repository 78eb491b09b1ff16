-- Queue statistics. Unfinished jobs are read once, by their index; finished jobs are not read.
create view public.operator with (security_invoker = true) as
select
  u.due, u.delayed, u.pending, u.downloading, u.uploading, u.expired, d.dead, u.failed + d.dead as failed, t.ready, t.archived,
  (select count(*) from public.video_replicas r where r.state in ('pending', 'failed', 'missing')) as repairs,
  u.oldest_due_at
from (
  select
    count(*) filter (where q.lease_token is null and q.run_at <= now()) as due,
    count(*) filter (where q.lease_token is null and q.run_at > now()) as delayed,
    count(*) filter (where q.status = 'pending') as pending,
    count(*) filter (where q.status = 'downloading') as downloading,
    count(*) filter (where q.status = 'uploading') as uploading,
    count(*) filter (where q.status = 'failed') as failed,
    count(*) filter (where q.lease_expires_at <= now()) as expired,
    min(q.run_at) filter (where q.lease_token is null and q.run_at <= now()) as oldest_due_at
  from public.video_queue q where q.finished_at is null
) u
cross join (select count(*) as dead from public.video_queue q where q.terminal_at is not null) d
cross join public.archive_totals() t;
comment on view public.operator is 'Counts of jobs by status and due time, of repairs, and of archives.';

create function public.queue_counts() returns jsonb
language sql stable security definer set search_path = '' set enable_seqscan = off set jit = off
as $$
  select pg_catalog.to_jsonb(o) || pg_catalog.jsonb_build_object(
    'sweep_age_seconds', (
      select pg_catalog.round(extract(epoch from pg_catalog.clock_timestamp() - r.swept_at), 3) from keepstream.event_retention r),
    'clearing_error', (select r.last_error from keepstream.event_retention r),
    'notification', keepstream.last_notification())
  from public.operator o
$$;
comment on function public.queue_counts() is
  'The view operator as one object: pending, downloading, uploading, ready, failed (by status), archived (rows of '
  'video_store), due, delayed, expired, dead, repairs, oldest_due_at; sweep_age_seconds, null before the first '
  'sweep; clearing_error, why the last cleanup failed, or null; notification, the result of the last one: {at, '
  'status_code, error}, or null.';
