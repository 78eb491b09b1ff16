-- One row per video that is wanted. The row is the job: who holds it, until when, and when it is due.
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
-- Every claim begins at the low end of its index, where finished jobs leave dead entries, a page for each 185 of them: each
-- vacuum is to remove them, also where Postgres would find too few to be worth it.

comment on table public.video_queue is 'One job per video: pending → downloading → uploading → ready | failed.';
comment on column public.video_queue.attempts is 'Claims since the last reset, less those given back.';
comment on column public.video_queue.retry_count is 'Failures and rescues since the last reset.';
comment on column public.video_queue.run_at is 'Not claimed before this moment.';
comment on column public.video_queue.priority is '0 first … 3 last.';
comment on column public.video_queue.terminal_at is 'Set on a dead letter: claimed again only after a new source or an operator.';
comment on column public.video_queue.revived_at is 'When a new address last revived the dead letter: at most once a day, since some pages change their addresses with every look.';
comment on column public.video_queue.lease_epoch is 'Rises by one with every claim, never falls.';
comment on column public.video_queue.lease_token is 'Fencing token of the current holder; every write of the job names it.';
comment on column public.video_queue.finished_at is 'When it became ready or a dead letter; null while anything is left to do.';
comment on column public.video_queue.candidates is 'What the next claim hands out: the live addresses, best first. Of a leased job the first is the one in use. Kept until it is finished.';
comment on column public.video_queue.last_event is 'The last move in keepstream.events, which names the one before it.';
comment on column public.video_queue.applied_status is 'The status that the other columns belong to. It differs only within a statement that writes a status by hand, until keepstream.apply_status_change has run.';
comment on column public.video_queue.error_class is 'A name in keepstream.error_classes. No foreign key: its index would cost every failure a write for a table that never shrinks.';
-- The claim walks this in order. A claim, a heartbeat and the move to uploading change nothing that any index of this
-- table holds, so they stay on their page (HOT) and write no index: the few jobs that are leased stay in here, and
-- keepstream.video_leases lists them for who looks for them.
create index video_queue_unfinished on public.video_queue (priority, run_at, id) where finished_at is null;
create index video_queue_dead on public.video_queue (terminal_at) where terminal_at is not null;
alter table public.video_queue enable row level security;

-- The rules between columns. One function and not a CHECK for each: every statement that writes the table reads its
-- CHECKs from the catalogue and compiles them anew (measured: 40 of the 60 µs of a heartbeat), a function is kept compiled.
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
  raise exception using errcode = 'check_violation', message = 'a job broke the rule ' || broken, constraint = 'video_queue_' || broken;
end
$$;
comment on function keepstream.assert_job_invariants(public.video_queue) is 'True, or an error that names the rule the row breaks.';

alter table public.video_queue add constraint video_queue_invariants_hold check (keepstream.assert_job_invariants(video_queue));

-- Which jobs are leased, for the sweep and the counts: a partial index would have every claim write all indexes of the queue.
-- No foreign key: its check would read the job once more with every claim.
create table keepstream.video_leases (
  queue_id uuid primary key
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table keepstream.video_leases is 'The jobs that are leased: a claim adds its own, whatever ends a lease removes it.';
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

-- Every address known for a job, so that a dead one is not the end of it.
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
  -- An address may be longer than a btree entry. The embed page names the source; a direct address changes its token.
  address_hash text generated always as (md5(coalesce(embed_url, video_url))) stored,
  constraint video_candidates_one_per_url unique (queue_id, address_hash)
);
comment on table public.video_candidates is 'Addresses of a job, tried in the order of (fails, rank).';
comment on column public.video_candidates.state is 'live: may be tried; expired: stopped working, tried again after a back-off; dead: never again.';
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
comment on function keepstream.live_candidates(uuid, uuid) is 'The addresses a claim hands out: the one in use, the others best first; null when none is live.';
