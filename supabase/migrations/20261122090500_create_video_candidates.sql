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
