-- What is archived, and every copy of it.
create table public.video_store (
  id uuid primary key default gen_random_uuid(),
  mal_id int not null,
  episode int not null,
  provider varchar(20) not null,
  resolution varchar(10),
  file_key varchar(64) not null,
  hf_account int not null,
  hf_repo text not null,
  hf_path text not null,
  hf_direct_url text not null,
  stream_url text,
  created_at timestamptz not null default now(),
  queue_id uuid not null references public.video_queue (id) on delete cascade,
  lease_token uuid not null,
  sha256 text,
  size_bytes bigint,
  duration_seconds double precision,
  constraint video_store_one_archive_per_video unique nulls not distinct (mal_id, episode, provider, resolution),
  constraint video_store_one_archive_per_job unique (queue_id),
  constraint video_store_file_key_is_hex check (file_key ~ '^[0-9a-f]{16,64}$'),
  constraint video_store_account_counts check (hf_account >= 0),
  constraint video_store_repo_is_a_name check (length(hf_repo) <= 200 and hf_repo ~ '^[A-Za-z0-9][A-Za-z0-9._/-]*$'),
  constraint video_store_path_is_relative check (length(hf_path) <= 400 and hf_path ~ '^[A-Za-z0-9][A-Za-z0-9._/-]*$' and hf_path !~ '(^|/)\.\.(/|$)'),
  constraint video_store_direct_url_is_web check (octet_length(hf_direct_url) <= 4096 and hf_direct_url ~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$'),
  constraint video_store_stream_url_is_web check (octet_length(stream_url) <= 4096 and stream_url ~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$'),
  constraint video_store_sha256_is_hex check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint video_store_size_is_positive check (size_bytes > 0),
  constraint video_store_duration_is_positive check (duration_seconds > 0)
);
comment on table public.video_store is 'One row per archived video; hf_* name the copy that is served first.';
comment on column public.video_store.lease_token is 'The lease that recorded this archive: its replay is answered, not refused.';
alter table public.video_store enable row level security;

create table public.video_replicas (
  id uuid primary key default gen_random_uuid(),
  store_id uuid not null references public.video_store (id) on delete cascade,
  target text not null,
  account int,
  repo text,
  path text,
  direct_url text,
  commit_oid text,
  sha256 text,
  size_bytes bigint,
  state text not null default 'pending',
  attempts int not null default 0,
  max_attempts int not null default 20,
  run_at timestamptz not null default now(),
  error_class text,
  error_message text,
  lease_token uuid,
  lease_owner text,
  lease_expires_at timestamptz,
  verified_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint video_replicas_one_per_target unique (store_id, target),
  constraint video_replicas_target_is_a_name check (target ~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}$'),
  constraint video_replicas_state_is_known check (state in ('pending', 'uploading', 'verified', 'failed', 'missing')),
  constraint video_replicas_leased_iff_uploading check ((state = 'uploading') = (lease_token is not null)),
  constraint video_replicas_lease_is_whole check ((lease_token is null) = (lease_expires_at is null) and (lease_token is null) = (lease_owner is null)),
  constraint video_replicas_verified_is_addressed check (state <> 'verified' or (repo is not null and path is not null)),
  constraint video_replicas_attempts_are_bounded check (attempts between 0 and max_attempts),
  constraint video_replicas_account_counts check (account >= 0),
  constraint video_replicas_repo_is_a_name check (length(repo) <= 200 and repo ~ '^[A-Za-z0-9][A-Za-z0-9._/-]*$'),
  constraint video_replicas_path_is_relative check (length(path) <= 400 and path ~ '^[A-Za-z0-9][A-Za-z0-9._/-]*$' and path !~ '(^|/)\.\.(/|$)'),
  constraint video_replicas_direct_url_is_web check (octet_length(direct_url) <= 4096 and direct_url ~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$'),
  constraint video_replicas_sha256_is_hex check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint video_replicas_size_is_positive check (size_bytes > 0)
) with (fillfactor = 80);
comment on table public.video_replicas is 'One row per archived video and storage target; what is not verified is repair work.';
create index video_replicas_repairable on public.video_replicas (run_at, id) where state in ('pending', 'failed', 'missing');
create index video_replicas_held on public.video_replicas (id) where lease_token is not null;
alter table public.video_replicas enable row level security;
