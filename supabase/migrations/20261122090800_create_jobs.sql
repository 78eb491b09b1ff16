-- One row per video to archive: its status, when it is due, and its lease. A claim scans the index
-- from the low end, where finished jobs leave dead entries: one page per 185 jobs. Vacuum therefore
-- has to clean the index even when Postgres finds too few dead entries to bother.
create table public.video_queue (
  id uuid primary key default gen_random_uuid(),
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int not null,
  provider keepstream.provider_name not null,
  video_url keepstream.http_url not null,
  resolution keepstream.resolution_label,
  status keepstream.job_status not null default 'pending',
  retry_count keepstream.counter not null default 0,
  error_message text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  embed_url keepstream.http_url,
  priority keepstream.priority_level not null default 1,
  run_at timestamptz not null default now(),
  attempts keepstream.counter not null default 0,
  max_attempts keepstream.positive_int not null default 8,
  error_class text,
  terminal_at timestamptz,
  revived_at timestamptz,
  lease_token uuid,
  lease_epoch int not null default 0,
  lease_owner text,
  lease_expires_at timestamptz,
  progress jsonb,
  cancel_requested_at timestamptz,
  started_at timestamptz,
  finished_at timestamptz,
  candidates jsonb,
  last_event bigint,
  applied_status keepstream.job_status not null default 'pending',
  constraint video_queue_one_job_per_video unique nulls not distinct (mal_id, episode, provider, resolution)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.005, autovacuum_vacuum_threshold = 500, vacuum_index_cleanup = on);
comment on table public.video_queue is 'One job per video: pending → downloading → uploading → ready | failed.';
comment on column public.video_queue.attempts is 'Claims since the last reset, minus those given back.';
comment on column public.video_queue.retry_count is 'Failures and rescues since the last reset.';
comment on column public.video_queue.run_at is 'The job is not due before this time.';
comment on column public.video_queue.priority is '0 first … 3 last.';
comment on column public.video_queue.terminal_at is
  'Set when the job became a dead letter. Only a new URL or an operator revives it.';
comment on column public.video_queue.revived_at is
  'When a new URL last revived the dead letter; at most once a day, because some pages change their URLs on every '
  'request.';
comment on column public.video_queue.lease_epoch is 'Increases by one with every claim.';
comment on column public.video_queue.lease_token is
  'Fencing token of the lease; every write of a claimed job must name it.';
comment on column public.video_queue.finished_at is 'When the job became ready or a dead letter; null before that.';
comment on column public.video_queue.candidates is
  'The live candidates that a claim returns, best first; the first one of a leased job is in use. Null once the job '
  'is finished.';
comment on column public.video_queue.last_event is
  'The latest status change in keepstream.events, which names the one before it.';
comment on column public.video_queue.applied_status is
  'The status that the other columns reflect. It differs from status only inside a statement that sets status by '
  'hand, until keepstream.apply_status_change has run.';
comment on column public.video_queue.error_class is
  'A name in keepstream.error_classes. No foreign key: its index would cost every failure a write.';

-- Claims scan this index in order. A claim, a heartbeat and the change to uploading write no
-- indexed column, so the row stays on its page (HOT) and no index is written. Leased jobs therefore
-- stay in the index; keepstream.video_leases lists them.
create index video_queue_unfinished on public.video_queue (priority, run_at, id) where finished_at is null;
create index video_queue_dead on public.video_queue (terminal_at) where terminal_at is not null;
alter table public.video_queue enable row level security;

-- Rules between columns, in one function instead of a CHECK each: every statement that writes the
-- table reads its CHECKs from the catalogue and compiles them (40 of a heartbeat's 60 µs), while a
-- function stays compiled. The constraint follows the function, whose argument is the table's row
-- type.
create function keepstream.assert_job_invariants(job public.video_queue) returns boolean
language plpgsql immutable set search_path = ''
as $$
declare
  broken text := case
    when job.status <> job.applied_status then null -- a trigger applies the change before the statement ends
    when job.attempts > job.max_attempts then 'attempts_are_bounded'
    when (job.status in ('downloading', 'uploading')) <> (job.lease_token is not null) then 'leased_iff_active'
    when (job.lease_token is null) <> (job.lease_expires_at is null) or (job.lease_token is null) <> (job.lease_owner is null) then 'lease_is_whole'
    when job.cancel_requested_at is not null and job.lease_token is null then 'cancel_waits_for_a_holder'
    when job.terminal_at is not null and job.status <> 'failed' then 'terminal_implies_failed'
    when (job.finished_at is not null) <> (job.status = 'ready' or job.terminal_at is not null) then 'finished_iff_ready_or_dead'
    when job.status = 'ready' and (job.error_message is not null or job.error_class is not null) then 'ready_has_no_error'
  end;
begin
  if broken is null then
    return true;
  end if;
  raise exception using errcode = 'check_violation', message = 'the job violates the rule ' || broken, constraint = 'video_queue_' || broken;
end
$$;
comment on function keepstream.assert_job_invariants(public.video_queue) is
  'Returns true, or raises an error that names the violated rule.';

alter table public.video_queue add constraint video_queue_invariants_hold check (keepstream.assert_job_invariants(video_queue));

-- The leased jobs, for the sweep and the counts. With a partial index instead, every claim would
-- write all indexes of the queue. No foreign key: its check would read the job again on every
-- claim.
create table keepstream.video_leases (
  queue_id uuid primary key
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table keepstream.video_leases is
  'The leased jobs. A claim inserts a row; whatever ends the lease deletes it.';
alter table keepstream.video_leases enable row level security;

create function keepstream.delete_lease() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  delete from keepstream.video_leases l where l.queue_id = old.id;
  return null;
end
$$;
create trigger video_queue_deletes_lease after delete on public.video_queue
  for each row when (old.lease_token is not null) execute function keepstream.delete_lease();

-- All known URLs of a job, so that it survives the loss of one.
create table public.video_candidates (
  id uuid primary key default gen_random_uuid(),
  queue_id uuid not null references public.video_queue (id) on delete cascade,
  rank keepstream.counter not null,
  embed_url keepstream.http_url,
  video_url keepstream.http_url not null,
  kind keepstream.media_kind,
  headers keepstream.header_map,
  expires_at timestamptz,
  state keepstream.candidate_state not null default 'live',
  fails keepstream.counter not null default 0,
  last_error_class text,
  created_at timestamptz not null default now(),
  -- A URL may exceed the size of a btree entry, hence the hash. The embed page identifies the
  -- source; a direct URL changes its token.
  address_hash text generated always as (md5(coalesce(embed_url, video_url))) stored,
  constraint video_candidates_one_per_url unique (queue_id, address_hash)
);
comment on table public.video_candidates is 'Candidates of a job, tried in the order of (fails, rank).';
comment on column public.video_candidates.state is
  'live: may be tried; expired: stopped working, tried again after a backoff; dead: not tried again.';
alter table public.video_candidates enable row level security;

create function keepstream.describe_candidate(c public.video_candidates) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', c.id, 'rank', c.rank, 'embed_url', c.embed_url, 'video_url', c.video_url, 'kind', c.kind,
    'headers', coalesce(c.headers, '{}'), 'expires_at', c.expires_at, 'fails', c.fails);
end
$$;

create function keepstream.live_candidates(queue_id uuid, in_use uuid default null) returns jsonb
language plpgsql stable set search_path = '' set plan_cache_mode = force_generic_plan
as $$
begin
  return (
    select jsonb_agg(keepstream.describe_candidate(c) order by c.id is distinct from in_use, c.fails, c.rank)
    from public.video_candidates c where c.queue_id = live_candidates.queue_id and c.state = 'live');
end
$$;
comment on function keepstream.live_candidates(uuid, uuid) is
  'The candidates that a claim returns: the one in use first, then the best; null if none is live.';
