-- How the queue is doing. Each count walks an index that holds just what it counts.
create view public.operator with (security_invoker = true) as
with held as materialized (
  select l.status, l.lease_expires_at, l.run_at from public.leased_videos() l
)
select
  (select count(*) from public.video_queue q where q.finished_at is null and q.run_at <= now())
    - (select count(*) from held h where h.run_at <= now()) as due,
  (select count(*) from public.video_queue q where q.finished_at is null and q.run_at > now())
    - (select count(*) from held h where h.run_at > now()) as delayed,
  (select count(*) from held h where h.status = 'downloading') as downloading,
  (select count(*) from held h where h.status = 'uploading') as uploading,
  (select count(*) from held h where h.lease_expires_at <= now()) as expired,
  (select count(*) from public.video_queue q where q.terminal_at is not null) as dead,
  (select count(*) from public.video_store s) as ready,
  (select count(*) from public.video_replicas r where r.state in ('pending', 'failed', 'missing')) as repairs,
  (select min(q.run_at) from public.video_queue q
    where q.finished_at is null and q.run_at <= now() and q.lease_token is null) as oldest_due_at;
comment on view public.operator is 'Counts of the queue, for an operator and for /status.';

create function public.queue_counts() returns jsonb
language sql stable security definer set search_path = '' set enable_seqscan = off set jit = off
as $$
  select pg_catalog.to_jsonb(o) || pg_catalog.jsonb_build_object('clearing_error', (select r.last_error from keepstream.event_retention r))
  from public.operator o
$$;
comment on function public.queue_counts() is
  'The operator view as one object: due, delayed, downloading, uploading, expired, dead, ready, repairs, oldest_due_at; and why the last sweep could not clear up, or null.';
