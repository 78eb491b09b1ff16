-- The first round trip of a response, and the rate limit it counts.

-- Rate limit: one timestamp per client, at which its allowance is full again.
create unlogged table keepstream.client_limits (
  client text primary key,
  full_at timestamptz not null
) with (fillfactor = 50);
comment on table keepstream.client_limits is
  'Rate limit per client; clients are stored as a hash. Unlogged, because losing it is harmless.';
create index client_limits_age on keepstream.client_limits (full_at);
alter table keepstream.client_limits enable row level security;

create function keepstream.count_request(client text) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  bucket text := encode(sha256(convert_to(client, 'UTF8')), 'base64');
  moment timestamptz := clock_timestamp();
  allowance int;
  step interval;
  full_at timestamptz;
begin
  select s.client_requests_per_minute, interval '1 minute' / s.client_requests_per_minute into allowance, step from keepstream.settings s;
  insert into keepstream.client_limits as c (client, full_at) values (bucket, moment + step)
  on conflict on constraint client_limits_pkey do update
    set full_at = greatest(c.full_at, moment) + step
    where greatest(c.full_at, moment) + step <= moment + interval '1 minute'
  returning c.full_at into full_at;
  if found then
    return jsonb_build_object('allowed', true, 'limit', allowance,
      'remaining', floor(extract(epoch from moment + interval '1 minute' - full_at) / extract(epoch from step))::int,
      'reset_seconds', ceil(extract(epoch from full_at - moment))::int);
  end if;
  return jsonb_build_object('allowed', false, 'limit', allowance, 'remaining', 0, 'reset_seconds', ceil(extract(epoch from step))::int);
end
$$;
comment on function keepstream.count_request(text) is
  'Counts one request and returns {allowed, limit, remaining, reset_seconds}. A refused request is not counted.';

-- Returns everything that a request for an episode needs, in one round trip.
create function public.read_episode(
  mal_id int, episode int, client text default null, reader_seconds int default 0, refresh boolean default false
) returns jsonb
language plpgsql volatile security definer set search_path = '' set plan_cache_mode = force_generic_plan
set lock_timeout = '1s' -- the caller repeats the call without counting and claiming
as $$
declare
  moment timestamptz := clock_timestamp();
  taken_down boolean := exists (
    select from keepstream.takedowns t
    where t.mal_id = read_episode.mal_id and (t.episode is null or t.episode = read_episode.episode));
  rate_limit jsonb;
  source_reads jsonb := '{}';
begin
  if read_episode.mal_id is null or read_episode.mal_id <= 0 or read_episode.episode is null or read_episode.episode <= 0 then
    raise exception using errcode = 'PT400', message = 'mal_id and episode must be positive numbers';
  end if;
  if client is not null then
    rate_limit := keepstream.count_request(client);
  end if;
  -- Skipped if every provider has a list that is not due.
  if reader_seconds > 0 and not taken_down and coalesce((rate_limit ->> 'allowed')::boolean, true) and (refresh or exists (
    select from public.providers p
    left join keepstream.source_lists l on l.mal_id = read_episode.mal_id and l.episode = read_episode.episode and l.provider = p.name
    where p.enabled and (l.provider is null or l.fetched_at + make_interval(secs => l.due_seconds) <= moment)
  )) then
    source_reads := keepstream.claim_source_reads(read_episode.mal_id, read_episode.episode, least(reader_seconds, 60), refresh);
  end if;
  return jsonb_build_object(
    'providers', (
      select coalesce(jsonb_agg(jsonb_build_object('name', p.name, 'recipe', p.recipe, 'base_url', p.base_url, 'rights', p.rights,
        'config', p.config) order by p.position, p.name), '[]')
      from public.providers p where p.enabled),
    'catalogue', (
      select jsonb_build_object('title', c.title, 'sources', c.sources, 'rights', c.rights)
      from public.catalogue c where c.mal_id = read_episode.mal_id and c.episode = read_episode.episode),
    'mappings', (
      select coalesce(jsonb_object_agg(m.provider, m.mapping), '{}')
      from public.title_mappings m
      where m.mal_id = read_episode.mal_id and (m.expires_at is null or m.expires_at > moment)),
    'source_lists', (
      select coalesce(jsonb_object_agg(l.provider, jsonb_build_object('state', l.state, 'code', l.code, 'servers', l.servers,
        'fetched_at', l.fetched_at, 'age_seconds', greatest(0, round(extract(epoch from moment - l.fetched_at)::numeric, 3)),
        'due_in_seconds', l.due_seconds - extract(epoch from moment - l.fetched_at)::int)), '{}')
      from keepstream.source_lists l
      where l.mal_id = read_episode.mal_id and l.episode = read_episode.episode),
    'source_reads', source_reads,
    'open_circuits', (
      select coalesce(jsonb_object_agg(t.provider, jsonb_build_object('code', t.code,
        'age_seconds', round(extract(epoch from moment - t.failed_at)::numeric, 3),
        'due_in_seconds', extract(epoch from t.due_at - moment)::int)), '{}')
      from keepstream.provider_health t where t.failures >= 3),
    'store', (
      select coalesce(jsonb_agg(jsonb_build_object('provider', s.provider, 'resolution', s.resolution, 'file_key', s.file_key,
        'hf_account', s.hf_account, 'hf_repo', s.hf_repo, 'hf_path', s.hf_path, 'hf_direct_url', s.hf_direct_url,
        'stream_url', s.stream_url, 'size_bytes', s.size_bytes, 'sha256', s.sha256, 'duration_seconds', s.duration_seconds,
        'replicas', (
          select coalesce(jsonb_agg(jsonb_build_object('id', r.id, 'target', r.target, 'account', r.account, 'repo', r.repo, 'path', r.path,
            'commit_oid', r.commit_oid, 'direct_url', r.direct_url) order by r.verified_at, r.id), '[]')
          from public.video_replicas r where r.store_id = s.id and r.state = 'verified')
        ) order by s.provider, s.resolution), '[]')
      from public.video_store s where s.mal_id = read_episode.mal_id and s.episode = read_episode.episode),
    'queue', (
      select coalesce(jsonb_agg(jsonb_build_object('id', q.id, 'provider', q.provider, 'resolution', q.resolution, 'status', q.status,
        'progress', q.progress, 'error_class', q.error_class, 'terminal_at', q.terminal_at) order by q.provider, q.resolution), '[]')
      from public.video_queue q where q.mal_id = read_episode.mal_id and q.episode = read_episode.episode),
    'taken_down', taken_down,
    'rate_limit', rate_limit
  );
end
$$;
comment on function public.read_episode(int, int, text, int, boolean) is
  'Returns {providers, catalogue, mappings, source_lists, source_reads, open_circuits, store, queue, taken_down, '
  'rate_limit} of an episode. With client, counts the request; with reader_seconds, claims the due source reads for '
  'so long, unless the episode is taken down. Without both, writes nothing.';
