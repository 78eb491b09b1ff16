-- What a provider lists beside a server's video: subtitles and chapters. They reach the runner with
-- the candidate, which archives them.
alter table public.video_candidates
  add column listed_tracks jsonb,
  add column exact boolean not null default false,
  add constraint video_candidates_listed_tracks_are_small check (
    jsonb_typeof(listed_tracks) = 'object' and octet_length(listed_tracks::text) <= 131072);
comment on column public.video_candidates.listed_tracks is
  '{subtitles: [{url, language, label, kind}], chapters: [{seconds, title, kind}]}, as the provider listed them.';
comment on column public.video_candidates.exact is
  'Only a variant of exactly the job''s resolution is archived: the job is a further height of another job''s source.';

-- Keys only where they have a value: rows of earlier versions stay equal.
create or replace function keepstream.describe_candidate(c public.video_candidates) returns jsonb
language plpgsql stable set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', c.id, 'rank', c.rank, 'embed_url', c.embed_url, 'video_url', c.video_url, 'kind', c.kind,
    'headers', coalesce(c.headers, '{}'), 'expires_at', c.expires_at, 'fails', c.fails)
    || case when c.listed_tracks is null then '{}' else jsonb_build_object('listed_tracks', c.listed_tracks) end
    || case when c.exact then jsonb_build_object('exact', true) else '{}' end;
end
$$;

-- Elements that cannot be used are left out: they are text from a site.
create function keepstream.listed_tracks_of(server jsonb) returns jsonb
language plpgsql immutable set search_path = ''
as $$
declare
  subtitles jsonb;
  chapters jsonb;
begin
  if jsonb_typeof(server -> 'subtitles') = 'array' then
    select jsonb_agg(s.track order by s.ordinality) into subtitles from (
      select v.ordinality, jsonb_strip_nulls(jsonb_build_object('url', v.value ->> 'url', 'language', left(v.value ->> 'language', 40),
        'label', left(v.value ->> 'label', 80), 'kind', left(v.value ->> 'kind', 20))) as track
      from jsonb_array_elements(server -> 'subtitles') with ordinality as v
      where jsonb_typeof(v.value) = 'object' and jsonb_typeof(v.value -> 'url') = 'string'
        and octet_length(v.value ->> 'url') <= 4096 and v.value ->> 'url' ~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$'
      order by v.ordinality limit 48) s;
    if octet_length(subtitles::text) > 65536 then
      subtitles := jsonb_path_query_array(subtitles, '$[0 to 5]');
    end if;
  end if;
  if jsonb_typeof(server -> 'chapters') = 'array' then
    select jsonb_agg(c.chapter order by c.ordinality) into chapters from (
      select v.ordinality, jsonb_strip_nulls(jsonb_build_object('seconds', v.value -> 'seconds', 'title', left(v.value ->> 'title', 80),
        'kind', left(v.value ->> 'kind', 20))) as chapter
      from jsonb_array_elements(server -> 'chapters') with ordinality as v
      where jsonb_typeof(v.value) = 'object' and jsonb_typeof(v.value -> 'seconds') = 'number' and (v.value ->> 'seconds')::numeric between 0 and 1000000
      order by v.ordinality limit 100) c;
  end if;
  return nullif(jsonb_strip_nulls(jsonb_build_object('subtitles', subtitles, 'chapters', chapters)), '{}');
end
$$;
comment on function keepstream.listed_tracks_of(jsonb) is
  'The subtitles and chapters of a listed server, or of any object with these keys; null if it has none.';

drop function public.enqueue_video(int, int, text, text, text, text, text, jsonb, timestamptz, int);
drop function keepstream.enqueue(int, int, text, text, text, text, text, jsonb, timestamptz, int);

-- As before, with listed_tracks and exact.
create function keepstream.enqueue(
  mal_id int, episode int, provider text, video_url text, resolution text,
  embed_url text, kind text, headers jsonb, expires_at timestamptz, priority int, listed_tracks jsonb, exact boolean
) returns public.video_queue
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  http_url constant text := '^https?://[^\u0001-\u0020\u007f-\u009f]+$';
  label text := nullif(enqueue.resolution, '');
  page text := nullif(enqueue.embed_url, '');
  job public.video_queue;
  source public.video_candidates;
  known int;
  in_use uuid;
begin
  if enqueue.mal_id is null or enqueue.mal_id <= 0 then
    raise exception using errcode = 'PT400', message = 'mal_id must be a positive number';
  elsif enqueue.episode is null or enqueue.episode <= 0 then
    raise exception using errcode = 'PT400', message = 'episode must be a positive number';
  elsif enqueue.provider is null or enqueue.provider !~ '^[a-z0-9][a-z0-9_-]{0,19}$' then
    raise exception using errcode = 'PT400', message = 'provider must be a name like animasu: a-z, 0-9, _ and -, at most 20 characters';
  elsif label !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,9}$' then
    raise exception using errcode = 'PT400', message = 'resolution must be a label like 720p, at most 10 characters';
  elsif enqueue.video_url is null or octet_length(enqueue.video_url) > 4096 or enqueue.video_url !~* http_url then
    raise exception using errcode = 'PT400', message = 'video_url must be an http(s) URL of at most 4096 bytes without spaces or control characters';
  elsif octet_length(page) > 4096 or page !~* http_url then
    raise exception using errcode = 'PT400', message = 'embed_url must be an http(s) URL of at most 4096 bytes without spaces or control characters';
  elsif enqueue.kind !~ '^[a-z0-9_-]{1,20}$' then
    raise exception using errcode = 'PT400', message = 'kind must be a word like mp4 or hls';
  elsif jsonb_typeof(enqueue.headers) not in ('object', 'null') or octet_length(enqueue.headers::text) > 8192 then
    raise exception using errcode = 'PT400', message = 'headers must be an object of at most 8192 bytes';
  elsif jsonb_typeof(enqueue.listed_tracks) not in ('object', 'null') then
    raise exception using errcode = 'PT400', message = 'listed_tracks must be an object: {subtitles, chapters}';
  elsif enqueue.priority not between 0 and 3 then
    raise exception using errcode = 'PT400', message = 'priority must be 0, 1, 2 or 3';
  end if;

  perform keepstream.lock_title_shared(enqueue.mal_id);
  if exists (
    select from keepstream.takedowns t
    where t.mal_id = enqueue.mal_id and (t.episode is null or t.episode = enqueue.episode)
  ) then
    raise exception using errcode = 'PT451', message = 'this episode is taken down', hint = 'lift_takedown allows it again';
  elsif not keepstream.archiving_allowed(enqueue.mal_id, enqueue.episode, enqueue.provider) then
    return null;
  end if;

  source.id := gen_random_uuid();
  source.embed_url := page;
  source.video_url := enqueue.video_url;
  source.kind := enqueue.kind;
  source.headers := nullif(enqueue.headers, 'null');
  source.expires_at := enqueue.expires_at;
  source.listed_tracks := keepstream.listed_tracks_of(enqueue.listed_tracks);
  source.exact := coalesce(enqueue.exact, false);
  source.rank := 0;
  source.fails := 0;

  loop
    select * into job from public.video_queue q
    where q.mal_id = enqueue.mal_id and q.episode = enqueue.episode and q.provider = enqueue.provider
      and (q.resolution = label or (q.resolution is null and label is null));
    exit when found;
    insert into public.video_queue (mal_id, episode, provider, video_url, resolution, embed_url, priority, candidates)
    values (enqueue.mal_id, enqueue.episode, enqueue.provider, enqueue.video_url, label, page, coalesce(enqueue.priority, 1),
      jsonb_build_array(keepstream.describe_candidate(source)))
    on conflict do nothing
    returning * into job;
    if found then
      insert into public.video_candidates (id, queue_id, rank, embed_url, video_url, kind, headers, expires_at, listed_tracks, exact)
      values (source.id, job.id, 0, page, source.video_url, source.kind, source.headers, source.expires_at, source.listed_tracks, source.exact);
      return job;
    end if;
  end loop;

  -- A known URL writes nothing.
  if exists (
    select from public.video_candidates c
    where c.queue_id = job.id and c.address_hash = md5(coalesce(page, enqueue.video_url))
  ) then
    return job;
  end if;

  select * into job from public.video_queue q where q.id = job.id for update;
  if not found then
    raise exception using errcode = 'PT409', message = 'the job was deleted in the meantime: enqueue it again';
  elsif job.terminal_at is not null and job.error_class = 'cancelled' then
    return job; -- only an operator revives a cancelled job
  end if;
  if job.lease_token is not null then
    in_use := (job.candidates -> 0 ->> 'id')::uuid;
    if in_use is null and coalesce(job.embed_url, job.video_url) <> coalesce(page, enqueue.video_url) then
      -- The job was inserted by hand and has no candidates. Its own URL is in use, so add it: a
      -- failure must not count against the new one.
      insert into public.video_candidates (queue_id, rank, embed_url, video_url)
      values (job.id, 0, job.embed_url, job.video_url) on conflict do nothing returning id into in_use;
    end if;
  end if;
  select count(*) into known from public.video_candidates c where c.queue_id = job.id;
  if known >= (select s.max_candidates from keepstream.settings s) then
    delete from public.video_candidates c where c.id = (
      select w.id from public.video_candidates w where w.queue_id = job.id and w.id is distinct from in_use
      order by w.state = 'live', w.fails desc, w.rank desc limit 1);
  end if;
  insert into public.video_candidates (id, queue_id, rank, embed_url, video_url, kind, headers, expires_at, listed_tracks, exact)
  select source.id, job.id, coalesce(max(c.rank), -1) + 1, page, source.video_url, source.kind, source.headers, source.expires_at,
    source.listed_tracks, source.exact
  from public.video_candidates c where c.queue_id = job.id
  on conflict do nothing;
  if not found then
    return job;
  end if;
  insert into keepstream.events (queue_id, kind) values (job.id, 'source_added');

  if job.status = 'pending' or (job.status = 'failed' and (
    job.terminal_at is null or job.revived_at is null or job.revived_at < clock_timestamp() - interval '1 day'
  )) then
    update public.video_queue q
    set status = 'pending', revived_at = case when q.terminal_at is null then q.revived_at else clock_timestamp() end, video_url = enqueue.video_url, embed_url = page,
        run_at = least(q.run_at, clock_timestamp()), updated_at = clock_timestamp(), candidates = keepstream.live_candidates(q.id)
    where q.id = job.id;
    select * into job from public.video_queue q where q.id = job.id;
  elsif job.lease_token is not null then
    update public.video_queue q set candidates = keepstream.live_candidates(q.id, in_use) where q.id = job.id returning * into job;
  end if;
  return job;
end
$$;

alter table public.video_queue add column height_of uuid;
comment on column public.video_queue.height_of is
  'The job from whose source this further height is archived; null for a job of a listed server.';
create index video_queue_heights on public.video_queue (height_of) where height_of is not null;

create or replace function keepstream.enqueue_in_order(videos jsonb) returns setof public.video_queue
language plpgsql security definer set search_path = ''
as $$
declare
  item record;
  job public.video_queue;
begin
  -- In key order, so that two calls with the same videos cannot deadlock. A job's new URL is also one
  -- of the further heights of its source.
  for item in
    with given as (
      select v.*, nullif(v.resolution, '') as label from rows from (jsonb_to_recordset(videos) as (
        mal_id int, episode int, provider text, video_url text, resolution text,
        embed_url text, kind text, headers jsonb, expires_at timestamptz, priority int, listed_tracks jsonb)) with ordinality
        as v (mal_id, episode, provider, video_url, resolution, embed_url, kind, headers, expires_at, priority, listed_tracks, place)
    )
    select g.*, false as is_height from given g
    union all
    select g.mal_id, g.episode, g.provider, g.video_url, h.resolution, g.embed_url, g.kind, g.headers, g.expires_at, g.priority,
      g.listed_tracks, g.place, h.resolution, true
    from given g
    join public.video_queue m on m.mal_id = g.mal_id and m.episode = g.episode and m.provider = g.provider and m.resolution is not distinct from g.label
    join public.video_queue h on h.height_of = m.id and h.status <> 'ready'
    where not exists (
      select from public.video_candidates c
      where c.queue_id = m.id and c.address_hash = md5(coalesce(nullif(g.embed_url, ''), g.video_url)))
    order by mal_id, episode, provider, label, is_height, place
  loop
    job := keepstream.enqueue(item.mal_id, item.episode, item.provider, item.video_url, item.label,
      item.embed_url, item.kind, item.headers, item.expires_at, item.priority, item.listed_tracks, item.is_height);
    if not item.is_height then
      return next job;
    end if;
  end loop;
end
$$;
comment on function keepstream.enqueue_in_order(jsonb) is
  'Enqueues videos in key order; returns a row of nulls for each without archiving rights.';

create function public.enqueue_video(
  mal_id int, episode int, provider text, video_url text, resolution text default null,
  embed_url text default null, kind text default null, headers jsonb default null,
  expires_at timestamptz default null, priority int default null, listed_tracks jsonb default null
) returns public.video_queue
language plpgsql security definer set search_path = ''
as $$
begin
  return keepstream.require_rights(e) from keepstream.enqueue_in_order(jsonb_build_array(jsonb_build_object(
    'mal_id', mal_id, 'episode', episode, 'provider', provider, 'video_url', video_url, 'resolution', resolution, 'embed_url', embed_url,
    'kind', kind, 'headers', headers, 'expires_at', expires_at, 'priority', priority, 'listed_tracks', listed_tracks))) e;
end
$$;
comment on function public.enqueue_video(int, int, text, text, text, text, text, jsonb, timestamptz, int, jsonb) is
  'Enqueues a video and returns its job. A known URL writes nothing; a new one becomes a candidate and revives a '
  'failed job. listed_tracks: {subtitles: [{url, language, label}], chapters: [{seconds, title, kind}]}.';
revoke all on function public.enqueue_video(int, int, text, text, text, text, text, jsonb, timestamptz, int, jsonb) from public;
grant execute on function public.enqueue_video(int, int, text, text, text, text, text, jsonb, timestamptz, int, jsonb) to service_role;

-- As before, with the listed tracks of each server.
create or replace function public.save_sources(mal_id int, episode int, lists jsonb) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  kept text[];
  servers jsonb;
  queue_full boolean;
  enqueued int := 0;
begin
  if save_sources.mal_id is null or save_sources.mal_id <= 0 or save_sources.episode is null or save_sources.episode <= 0 then
    raise exception using errcode = 'PT400', message = 'mal_id and episode must be positive numbers';
  elsif lists is null or jsonb_typeof(lists) <> 'object' or exists (
    select from jsonb_each(lists) l
    where jsonb_typeof(l.value) <> 'object' or jsonb_typeof(coalesce(l.value -> 'servers', '[]')) not in ('array', 'null')
  ) then
    raise exception using errcode = 'PT400', message = 'lists must be {"<provider>": {"state", "code", "servers": […]}}';
  end if;

  perform keepstream.lock_title_shared(save_sources.mal_id);
  if exists (
    select from keepstream.takedowns t
    where t.mal_id = save_sources.mal_id and (t.episode is null or t.episode = save_sources.episode)
  ) then
    return jsonb_build_object('enqueued', 0, 'queue_full', false, 'queue', '[]'::jsonb);
  end if;
  with saved as (
    insert into keepstream.source_lists (mal_id, episode, provider, state, code, servers, fetched_at, failures, due_seconds)
    select save_sources.mal_id, save_sources.episode, l.key, l.state, l.value ->> 'code', l.servers,
      clock_timestamp() - make_interval(secs => greatest(0, least(3600, coalesce((l.value -> 'age_seconds')::float8, 0)))), l.failures,
      case when l.state = 'ok' then coalesce((l.value -> 'due_seconds')::int, 1200)
        else keepstream.back_off_seconds(coalesce((l.value -> 'due_seconds')::int, 30), l.failures, (l.value -> 'retry_after_seconds')::int) end
    from (
      select e.key, e.value, s.state, case when s.state = 'ok' then 0 else least(coalesce(o.failures, 0) + 1, 30) end as failures,
        case when jsonb_typeof(e.value -> 'servers') = 'array' then e.value -> 'servers' else '[]' end as servers
      from jsonb_each(lists) as e
      cross join lateral (select coalesce(e.value ->> 'state', 'ok') as state) as s
      left join keepstream.source_lists o on o.mal_id = save_sources.mal_id and o.episode = save_sources.episode and o.provider = e.key
    ) as l
    order by l.key
    on conflict on constraint source_lists_pkey do update
      set state = excluded.state, code = excluded.code, fetched_at = excluded.fetched_at, failures = excluded.failures,
          due_seconds = excluded.due_seconds,
          -- A failed read says nothing about the servers known before.
          servers = case when excluded.state in ('ok', 'empty') then excluded.servers else source_lists.servers end
      -- A read that began earlier and ended later does not replace a newer list, unless that one is
      -- a failure.
      where excluded.fetched_at >= source_lists.fetched_at or (excluded.state = 'ok' and source_lists.state <> 'ok')
    returning source_lists.provider
  )
  select array_agg(s.provider) into kept from saved s;
  lists := (select coalesce(jsonb_object_agg(l.key, l.value), '{}') from jsonb_each(lists) l where l.key = any (kept));
  perform keepstream.end_source_reads(save_sources.mal_id, save_sources.episode, lists);

  -- Playable servers. One that enqueue would refuse is left out without affecting the others; so
  -- are those beyond the batch limit.
  select jsonb_agg(s.server) into servers from (select jsonb_build_object(
    'mal_id', save_sources.mal_id, 'episode', save_sources.episode, 'provider', l.key, 'video_url', u.video_url,
    'embed_url', v.value ->> 'embed_url', 'resolution', v.value ->> 'resolution', 'kind', v.value ->> 'kind',
    'headers', v.value -> 'headers', 'expires_at', case when pg_input_is_valid(v.value ->> 'expires_at', 'timestamptz') then v.value ->> 'expires_at' end,
    'listed_tracks', keepstream.listed_tracks_of(v.value)) as server
  from jsonb_each(lists) as l
  cross join jsonb_array_elements(case when jsonb_typeof(l.value -> 'servers') = 'array' then l.value -> 'servers' else '[]' end) with ordinality as v
  -- A page that blocks the functions may allow the runner, which has another IP address and time
  -- for a proof of work: enqueue the page itself.
  cross join lateral (
    select coalesce(v.value ->> 'video_url', case when v.value ->> 'code' = 'blocked' then v.value ->> 'embed_url' end) as video_url
  ) as u
  where jsonb_typeof(v.value) = 'object'
    and octet_length(u.video_url) <= 4096 and u.video_url ~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$'
    and coalesce(octet_length(v.value ->> 'embed_url') <= 4096 and v.value ->> 'embed_url' ~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$', v.value ->> 'embed_url' is null)
    and coalesce(v.value ->> 'resolution' ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,9}$', true)
    and coalesce(v.value ->> 'kind' ~ '^[a-z0-9_-]{1,20}$', true)
    and coalesce(jsonb_typeof(v.value -> 'headers') in ('object', 'null') and octet_length((v.value -> 'headers')::text) <= 8192, true)
  order by v.ordinality, l.key limit 500) as s;

  queue_full := exists (
    select from public.video_queue q where q.finished_at is null
    offset (select s.max_waiting_jobs from keepstream.settings s) limit 1);
  if servers is not null and not queue_full then
    select count(distinct e.id) into enqueued from keepstream.enqueue_in_order(servers) e;
  end if;

  return jsonb_build_object(
    'enqueued', enqueued,
    'queue_full', queue_full,
    'queue', (
      select coalesce(jsonb_agg(jsonb_build_object('id', q.id, 'provider', q.provider, 'resolution', q.resolution, 'status', q.status,
        'progress', q.progress, 'error_class', q.error_class, 'terminal_at', q.terminal_at) order by q.provider, q.resolution), '[]')
      from public.video_queue q where q.mal_id = save_sources.mal_id and q.episode = save_sources.episode));
end
$$;
