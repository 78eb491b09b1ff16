-- Every address known for a job, so that a dead one is not the end of it.
create table public.video_candidates (
  id uuid primary key default gen_random_uuid(),
  queue_id uuid not null references public.video_queue (id) on delete cascade,
  rank keepstream.counter not null,
  embed_url keepstream.web_address,
  video_url keepstream.web_address not null,
  kind keepstream.media_kind,
  headers keepstream.header_map,
  expires_at timestamptz,
  state keepstream.candidate_state not null default 'live',
  fails keepstream.counter not null default 0,
  last_error_class text,
  created_at timestamptz not null default now(),
  -- An address may be longer than a btree entry. The embed page names the source; a direct address changes its token.
  address_hash text generated always as (md5(coalesce(embed_url, video_url))) stored,
  constraint video_candidates_one_per_address unique (queue_id, address_hash)
);
comment on table public.video_candidates is 'Addresses of a job, tried in the order of (fails, rank).';
comment on column public.video_candidates.state is 'live: may be tried; expired: stopped working, tried again after a back-off; dead: never again.';
alter table public.video_candidates enable row level security;
