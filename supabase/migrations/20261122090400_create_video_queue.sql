-- One row per video that is wanted. The row is the job: who holds it, until when, and when it is due.
create table public.video_queue (
  id uuid primary key default gen_random_uuid(),
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int not null,
  provider keepstream.provider_name not null,
  video_url keepstream.web_address not null,
  resolution keepstream.resolution_label,
  status text not null default 'pending',
  retry_count int not null default 0,
  error_message text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  embed_url keepstream.web_address,
  priority keepstream.priority_level not null default 1,
  run_at timestamptz not null default now(),
  attempts int not null default 0,
  max_attempts int not null default 8,
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
  constraint video_queue_one_job_per_video unique nulls not distinct (mal_id, episode, provider, resolution),
  constraint video_queue_status_is_known check (status in ('pending', 'downloading', 'uploading', 'ready', 'failed')),
  constraint video_queue_attempts_are_bounded check (attempts between 0 and max_attempts and max_attempts > 0 and retry_count >= 0),
  constraint video_queue_leased_iff_active check ((status in ('downloading', 'uploading')) = (lease_token is not null)),
  constraint video_queue_lease_is_whole check (
    (lease_token is null) = (lease_expires_at is null) and (lease_token is null) = (lease_owner is null)
    and (cancel_requested_at is null or lease_token is not null)
  ),
  constraint video_queue_terminal_implies_failed check (terminal_at is null or status = 'failed'),
  constraint video_queue_ready_has_no_error check (status <> 'ready' or (error_message is null and error_class is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);

comment on table public.video_queue is 'One job per video: pending → downloading → uploading → ready | failed.';
comment on column public.video_queue.attempts is 'Claims since the last reset, less those given back.';
comment on column public.video_queue.retry_count is 'Failures and reaps since the last reset.';
comment on column public.video_queue.run_at is 'Not claimed before this moment.';
comment on column public.video_queue.priority is '0 first … 3 last.';
comment on column public.video_queue.terminal_at is 'Set on a dead letter: claimed again only after a new source or an operator.';
comment on column public.video_queue.revived_at is 'When a new address last revived the dead letter: at most once a day, since some pages change their addresses with every look.';
comment on column public.video_queue.lease_epoch is 'Rises by one with every claim, never falls.';
comment on column public.video_queue.lease_token is 'Fencing token of the current holder; every write of the job names it.';

-- The claim walks this in order. It holds nothing that is finished, held or dead.
create index video_queue_claimable on public.video_queue (priority, run_at, id)
  where status in ('pending', 'failed') and terminal_at is null;
-- Not on lease_expires_at: a heartbeat must stay HOT, and few leases are held at once.
create index video_queue_held on public.video_queue (id) where lease_token is not null;
create index video_queue_dead on public.video_queue (terminal_at) where terminal_at is not null;

comment on column public.video_queue.error_class is 'A name in keepstream.error_classes. No foreign key: its index would cost every failure a write for a table that never shrinks.';
alter table public.video_queue enable row level security;
