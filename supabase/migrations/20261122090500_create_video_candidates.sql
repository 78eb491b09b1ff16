-- Every address known for a job, so that a dead one is not the end of it.
create table public.video_candidates (
  id uuid primary key default gen_random_uuid(),
  queue_id uuid not null references public.video_queue (id) on delete cascade,
  rank int not null,
  embed_url text,
  video_url text not null,
  kind text,
  headers jsonb,
  expires_at timestamptz,
  state text not null default 'live',
  fails int not null default 0,
  last_error_class text,
  created_at timestamptz not null default now(),
  -- An address may be longer than a btree entry. The embed page names the source; a direct address changes its token.
  address_hash text generated always as (md5(coalesce(embed_url, video_url))) stored,
  constraint video_candidates_one_per_address unique (queue_id, address_hash),
  constraint video_candidates_rank_counts check (rank >= 0),
  constraint video_candidates_fails_count check (fails >= 0),
  constraint video_candidates_state_is_known check (state in ('live', 'expired', 'dead')),
  constraint video_candidates_kind_is_a_word check (kind ~ '^[a-z0-9_-]{1,20}$'),
  constraint video_candidates_headers_are_an_object check (jsonb_typeof(headers) = 'object' and octet_length(headers::text) <= 8192),
  constraint video_candidates_video_url_is_web check (octet_length(video_url) <= 4096 and video_url ~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$'),
  constraint video_candidates_embed_url_is_web check (octet_length(embed_url) <= 4096 and embed_url ~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$')
);
comment on table public.video_candidates is 'Addresses of a job, tried in the order of (fails, rank).';
comment on column public.video_candidates.state is 'live: may be tried; expired: stopped working, tried again after a back-off; dead: never again.';
alter table public.video_candidates enable row level security;
