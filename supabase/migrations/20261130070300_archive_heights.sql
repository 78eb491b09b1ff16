-- Further heights of a source. The runner that archives a job enqueues the other heights of its
-- source (each is a job and an archive of its own) and claims them one after the other, because it
-- has the audio that they share on its disk. Until then it holds them: they are not due for other
-- runners as long as it repeats the hold.

create function public.enqueue_heights(id uuid, lease_token uuid, heights int[], hold_seconds int default 120) returns int
language plpgsql security definer set search_path = ''
as $$
declare
  job public.video_queue;
  source public.video_candidates;
  label text;
  due timestamptz;
  added uuid;
begin
  -- Without a lock on the job's row: other functions lock the jobs of a title in key order.
  select * into job from public.video_queue q where q.id = enqueue_heights.id;
  if found then
    perform keepstream.lock_title_shared(job.mal_id);
    select * into job from public.video_queue q where q.id = enqueue_heights.id;
  end if;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such job';
  elsif enqueue_heights.lease_token is null then
    perform keepstream.raise_missing_token();
  elsif job.lease_token is distinct from enqueue_heights.lease_token or job.lease_expires_at <= clock_timestamp() then
    raise exception using errcode = 'PT409', message = 'the lease of this job has expired or belongs to another worker', hint = 'stop working on it';
  elsif heights is null or cardinality(heights) > 16 or exists (
    select from unnest(heights) h (value) where h.value is null or h.value not between 1 and 9999
  ) then
    raise exception using errcode = 'PT400', message = 'heights must be at most 16 numbers between 1 and 9999';
  elsif job.height_of is not null then
    raise exception using errcode = 'PT422', message = 'a further height has no further heights';
  end if;

  select * into source from public.video_candidates c where c.id = (job.candidates -> 0 ->> 'id')::uuid and c.queue_id = job.id;
  if job.cancel_requested_at is null and keepstream.archiving_allowed(job.mal_id, job.episode, job.provider) then
    due := clock_timestamp() + make_interval(secs => least(greatest(coalesce(hold_seconds, 120), 0), 3600));
    -- A label that a listed server has is its own job's.
    foreach label in array array(select distinct h.value || 'p' from unnest(heights) h (value) order by 1) loop
      insert into public.video_queue (mal_id, episode, provider, video_url, resolution, embed_url, priority, run_at, height_of)
      values (job.mal_id, job.episode, job.provider, job.video_url, label, job.embed_url, least(job.priority + 1, 3), due, job.id)
      on conflict do nothing
      returning video_queue.id into added;
      if found then
        insert into public.video_candidates (queue_id, rank, embed_url, video_url, kind, headers, expires_at, listed_tracks, exact)
        values (added, 0, coalesce(source.embed_url, job.embed_url), coalesce(source.video_url, job.video_url), source.kind, source.headers,
          source.expires_at, source.listed_tracks, true);
        update public.video_queue q set candidates = keepstream.live_candidates(q.id) where q.id = added;
      end if;
    end loop;
  end if;
  return (select count(*) from public.video_queue q where q.height_of = job.id and q.finished_at is null);
end
$$;
comment on function public.enqueue_heights(uuid, uuid, int[], int) is
  'Enqueues further heights of a leased job''s source, from its candidate in use: jobs with labels such as 360p. '
  'Jobs that already have one of these labels are not changed. Only claim_height returns them for hold_seconds. '
  'Returns how many heights of the job are unfinished.';

create function public.hold_heights(id uuid, hold_seconds int default 120) returns int
language plpgsql security definer set search_path = ''
as $$
declare
  held int;
begin
  update public.video_queue q
  set run_at = clock_timestamp() + make_interval(secs => least(greatest(coalesce(hold_seconds, 120), 0), 3600))
  from (
    select h.id from public.video_queue h
    where h.height_of = hold_heights.id and h.status = 'pending' and h.finished_at is null
    order by h.resolution for update skip locked
  ) waiting
  where q.id = waiting.id;
  get diagnostics held = row_count;
  if held > 0 and hold_seconds <= 0 then
    perform keepstream.notify_runner();
  end if;
  return held;
end
$$;
comment on function public.hold_heights(uuid, int) is
  'Keeps the waiting heights of a job from other runners for hold_seconds more; 0 makes them due. Returns how many.';

-- Another result type: with height_of.
drop function public.claim_pending_videos(int, text, int);
create function public.claim_pending_videos("limit" int, worker text default 'runner', lease_seconds int default 120)
returns table (
  id uuid, mal_id int, episode int, provider text, resolution text, video_url text, embed_url text,
  status text, priority smallint, attempts int, max_attempts int, retry_count int, error_class text,
  lease_token uuid, lease_epoch int, lease_owner text, lease_expires_at timestamptz, created_at timestamptz, candidates jsonb,
  height_of uuid
)
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
#variable_conflict use_column
declare
  wanted int := least(coalesce("limit", 0), 50);
  holder constant text := left(coalesce(nullif(trim(worker), ''), 'runner'), 100);
  seconds constant int := least(greatest(coalesce(lease_seconds, 120), 10), 3600);
  moment timestamptz;
  places tid[];
  moves bigint[];
  claimed int;
begin
  while wanted > 0 loop
    moment := clock_timestamp();
    -- A separate statement locks the rows: a row that was just updated has a new ctid, which only
    -- the next statement sees.
    select array_agg(d.place), array_agg(d.previous) into places, moves from (
      select q.ctid as place, q.last_event as previous from public.video_queue q
      where q.finished_at is null and q.run_at <= moment and q.lease_token is null and q.attempts < q.max_attempts
      order by q.priority, q.run_at, q.id
      limit wanted
      for update skip locked
    ) d;
    return query
    with claimed as (
      update public.video_queue q
      set status = 'downloading', applied_status = 'downloading', attempts = q.attempts + 1, updated_at = moment,
          lease_token = gen_random_uuid(), lease_epoch = q.lease_epoch + 1, lease_owner = holder,
          lease_expires_at = moment + make_interval(secs => seconds),
          started_at = coalesce(q.started_at, moment), progress = null,
          last_event = nextval('keepstream.events_id_seq')
      from unnest(places, moves) as due (place, previous) where q.ctid = due.place
      returning q.id, q.mal_id, q.episode, q.provider, q.resolution, q.video_url, q.embed_url, q.status, q.priority, q.attempts,
        q.max_attempts, q.retry_count, q.error_class, q.lease_token, q.lease_epoch, q.lease_owner, q.lease_expires_at, q.created_at,
        q.candidates, q.height_of, q.last_event, due.previous
    ), listed as (
      insert into keepstream.video_leases (queue_id) select c.id from claimed c
    ), noted as (
      insert into keepstream.events (id, queue_id, at, kind, to_status, lease_epoch, worker, error_class, previous)
      select c.last_event, c.id, moment, 'claimed', c.status, c.lease_epoch, c.lease_owner, c.error_class, c.previous from claimed c
    )
    select c.id, c.mal_id::int, c.episode::int, c.provider::text, c.resolution::text, c.video_url::text, c.embed_url::text,
      c.status::text, c.priority::smallint, c.attempts::int, c.max_attempts::int, c.retry_count::int, c.error_class,
      c.lease_token, c.lease_epoch, c.lease_owner, c.lease_expires_at, c.created_at,
      coalesce(c.candidates, jsonb_build_array(jsonb_build_object(
        'id', null, 'rank', 0, 'embed_url', c.embed_url, 'video_url', c.video_url, 'kind', null,
        'headers', '{}'::jsonb, 'expires_at', null, 'fails', 0))),
      c.height_of
    from claimed c;
    get diagnostics claimed = row_count;
    wanted := wanted - claimed;
    exit when wanted = 0 or not keepstream.ack_notification();
  end loop;
end
$$;
comment on function public.claim_pending_videos(int, text, int) is
  'Leases up to limit (at most 50) due jobs to worker, best first, with their candidates.';
revoke all on function public.claim_pending_videos(int, text, int) from public;
grant execute on function public.claim_pending_videos(int, text, int) to service_role;

create function public.claim_height(heights_of uuid, worker text default 'runner', lease_seconds int default 120)
returns table (
  id uuid, mal_id int, episode int, provider text, resolution text, video_url text, embed_url text,
  status text, priority smallint, attempts int, max_attempts int, retry_count int, error_class text,
  lease_token uuid, lease_epoch int, lease_owner text, lease_expires_at timestamptz, created_at timestamptz, candidates jsonb,
  height_of uuid
)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  moment timestamptz := clock_timestamp();
  height public.video_queue;
  previous bigint;
begin
  select q.* into height from public.video_queue q
  where q.height_of = heights_of and q.status = 'pending' and q.finished_at is null and q.attempts < q.max_attempts
  order by length(q.resolution) desc, q.resolution desc
  limit 1 for update skip locked;
  if not found then
    return;
  end if;
  previous := height.last_event;
  update public.video_queue q
  set status = 'downloading', applied_status = 'downloading', attempts = q.attempts + 1, updated_at = moment,
      lease_token = gen_random_uuid(), lease_epoch = q.lease_epoch + 1, lease_owner = left(coalesce(nullif(trim(worker), ''), 'runner'), 100),
      lease_expires_at = moment + make_interval(secs => least(greatest(coalesce(lease_seconds, 120), 10), 3600)),
      started_at = coalesce(q.started_at, moment), progress = null, last_event = nextval('keepstream.events_id_seq')
  where q.id = height.id returning q.* into height;
  insert into keepstream.video_leases (queue_id) values (height.id);
  insert into keepstream.events (id, queue_id, at, kind, to_status, lease_epoch, worker, error_class, previous)
  values (height.last_event, height.id, moment, 'claimed', height.status, height.lease_epoch, height.lease_owner, height.error_class, previous);
  return query select height.id, height.mal_id::int, height.episode::int, height.provider::text, height.resolution::text,
    height.video_url::text, height.embed_url::text, height.status::text, height.priority::smallint, height.attempts::int,
    height.max_attempts::int, height.retry_count::int, height.error_class, height.lease_token, height.lease_epoch, height.lease_owner,
    height.lease_expires_at, height.created_at, height.candidates, height.height_of;
end
$$;
comment on function public.claim_height(uuid, text, int) is
  'Leases the largest waiting further height of a job to worker, due or held, as claim_pending_videos does; no row if '
  'none waits.';
revoke all on function public.claim_height(uuid, text, int) from public;
revoke all on function public.enqueue_heights(uuid, uuid, int[], int) from public;
revoke all on function public.hold_heights(uuid, int) from public;
grant execute on function public.claim_height(uuid, text, int), public.enqueue_heights(uuid, uuid, int[], int), public.hold_heights(uuid, int)
to service_role;

-- As before, with the job of whose source an archive is a further height.
create or replace function public.read_episode(
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
        'width', s.width, 'height', s.height, 'media', s.media,
        'height_of', (
          select jsonb_build_object('resolution', m.resolution)
          from public.video_queue h join public.video_queue m on m.id = h.height_of where h.id = s.queue_id),
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
