-- Archives and their copies on storage targets.
create table public.video_store (
  id uuid primary key default gen_random_uuid(),
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int not null,
  provider keepstream.provider_name not null,
  resolution keepstream.resolution_label,
  file_key varchar(64) not null,
  hf_account keepstream.account_number not null,
  hf_repo keepstream.repo_name not null,
  hf_path keepstream.repo_path not null,
  hf_direct_url keepstream.http_url not null,
  stream_url keepstream.http_url,
  created_at timestamptz not null default now(),
  queue_id uuid not null references public.video_queue (id) on delete cascade,
  lease_token uuid not null,
  sha256 keepstream.sha256_hex,
  size_bytes keepstream.byte_count,
  duration_seconds double precision,
  constraint video_store_one_archive_per_video unique nulls not distinct (mal_id, episode, provider, resolution),
  constraint video_store_one_archive_per_job unique (queue_id),
  constraint video_store_file_key_is_hex check (file_key ~ '^[0-9a-f]{16,64}$'),
  constraint video_store_duration_is_positive check (duration_seconds > 0)
);
comment on table public.video_store is
  'One row per archived video. The hf_* columns name the primary, the copy that is served first.';
comment on column public.video_store.lease_token is
  'The lease that recorded this archive. A repeated call with it returns the row instead of an error.';
alter table public.video_store enable row level security;

create table public.video_replicas (
  id uuid primary key default gen_random_uuid(),
  store_id uuid not null references public.video_store (id) on delete cascade,
  target keepstream.target_name not null,
  account keepstream.account_number,
  repo keepstream.repo_name,
  path keepstream.repo_path,
  direct_url keepstream.http_url,
  commit_oid text,
  sha256 keepstream.sha256_hex,
  size_bytes keepstream.byte_count,
  state keepstream.replica_state not null default 'pending',
  attempts int not null default 0,
  max_attempts int not null default 20,
  run_at timestamptz not null default now(),
  error_class text,
  error_message text,
  lease_token uuid,
  lease_owner text,
  lease_expires_at timestamptz,
  verified_at timestamptz,
  missing_since timestamptz,
  missing_days int not null default 0,
  missing_on date,
  damaged boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint video_replicas_one_per_target unique (store_id, target),
  constraint video_replicas_leased_iff_uploading check ((state = 'uploading') = (lease_token is not null)),
  constraint video_replicas_lease_is_whole check ((lease_token is null) = (lease_expires_at is null) and (lease_token is null) = (lease_owner is null)),
  constraint video_replicas_verified_has_location check (state <> 'verified' or (repo is not null and path is not null)),
  constraint video_replicas_attempts_are_bounded check (attempts between 0 and max_attempts),
  constraint video_replicas_missing_has_a_date check (state <> 'missing' or missing_since is not null),
  constraint video_replicas_verified_is_not_missing check (state <> 'verified' or missing_since is null),
  constraint video_replicas_damaged_is_missing check (not damaged or missing_since is not null)
) with (fillfactor = 80);
comment on table public.video_replicas is
  'One row per archive and storage target. Rows that are not verified are repair work.';
comment on column public.video_replicas.missing_since is
  'When a recorded copy was first found missing or damaged. The row and its archive stay until the copy is verified '
  'again or confirmed missing.';
comment on column public.video_replicas.missing_days is
  'Days on which a verification did not find the copy; the third day confirms it.';
comment on column public.video_replicas.damaged is
  'The copy differs from the archive. A repair replaces it once an intact copy is available.';
create index video_replicas_repairable on public.video_replicas (run_at, id) where state in ('pending', 'failed', 'missing');
create index video_replicas_held on public.video_replicas (id) where lease_token is not null;
alter table public.video_replicas enable row level security;

-- Copies that a new archive of the same video replaced at another location. The runner deletes
-- them.
create table keepstream.obsolete_copies (
  id uuid primary key default gen_random_uuid(),
  queue_id uuid not null,
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int not null,
  target keepstream.target_name not null,
  account keepstream.account_number,
  repo keepstream.repo_name not null,
  path keepstream.repo_path not null,
  run_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  constraint obsolete_copies_one_per_location unique (target, repo, path)
);
comment on table keepstream.obsolete_copies is
  'Copies of replaced archives whose location is no longer used: to be deleted.';
create index obsolete_copies_removable on keepstream.obsolete_copies (run_at);
create index obsolete_copies_of_title on keepstream.obsolete_copies (mal_id, episode);
alter table keepstream.obsolete_copies enable row level security;

create function keepstream.failure_text(message text, job uuid) returns text
language plpgsql stable set search_path = '' set plan_cache_mode = force_generic_plan
as $$
begin
  if coalesce(message, '') not like 'the old archive stays: %' and exists (select from public.video_store s where s.queue_id = job) then
    return 'the old archive stays: ' || coalesce(message, 'the new one failed');
  end if;
  return message;
end
$$;
comment on function keepstream.failure_text(text, uuid) is
  'The error text of a failed job. If an older archive is still served, the text says so.';
