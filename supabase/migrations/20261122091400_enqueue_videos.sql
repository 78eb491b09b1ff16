-- Creates the job of a video, or adds a candidate if the URL is new. A known URL writes nothing.
-- Returns null if no archiving rights are declared.
create function keepstream.enqueue(
  mal_id int, episode int, provider text, video_url text, resolution text,
  embed_url text, kind text, headers jsonb, expires_at timestamptz, priority int
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
      insert into public.video_candidates (id, queue_id, rank, embed_url, video_url, kind, headers, expires_at)
      values (source.id, job.id, 0, page, source.video_url, source.kind, source.headers, source.expires_at);
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
  insert into public.video_candidates (id, queue_id, rank, embed_url, video_url, kind, headers, expires_at)
  select source.id, job.id, coalesce(max(c.rank), -1) + 1, page, source.video_url, source.kind, source.headers, source.expires_at
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

create function keepstream.enqueue_in_order(videos jsonb) returns setof public.video_queue
language plpgsql security definer set search_path = ''
as $$
declare
  item record;
begin
  -- In key order, so that two calls with the same videos cannot deadlock.
  for item in
    select v.* from rows from (jsonb_to_recordset(videos) as (
      mal_id int, episode int, provider text, video_url text, resolution text,
      embed_url text, kind text, headers jsonb, expires_at timestamptz, priority int)) with ordinality
      as v (mal_id, episode, provider, video_url, resolution, embed_url, kind, headers, expires_at, priority, place)
    order by v.mal_id, v.episode, v.provider, nullif(v.resolution, ''), v.place
  loop
    return next keepstream.enqueue(item.mal_id, item.episode, item.provider, item.video_url, item.resolution,
      item.embed_url, item.kind, item.headers, item.expires_at, item.priority);
  end loop;
end
$$;
comment on function keepstream.enqueue_in_order(jsonb) is
  'Enqueues videos in key order; returns a row of nulls for each without archiving rights.';

create function keepstream.require_rights(job public.video_queue) returns public.video_queue
language plpgsql set search_path = ''
as $$
begin
  if job.id is null then
    raise exception using errcode = 'PT403', message = keepstream.missing_rights_message(),
      hint = 'declare rights in the provider''s entry, or in the episode''s catalogue entry';
  end if;
  return job;
end
$$;

create function public.enqueue_video(
  mal_id int, episode int, provider text, video_url text, resolution text default null,
  embed_url text default null, kind text default null, headers jsonb default null,
  expires_at timestamptz default null, priority int default null
) returns public.video_queue
language plpgsql security definer set search_path = ''
as $$
begin
  return keepstream.require_rights(
    keepstream.enqueue(mal_id, episode, provider, video_url, resolution, embed_url, kind, headers, expires_at, priority));
end
$$;
comment on function public.enqueue_video(int, int, text, text, text, text, text, jsonb, timestamptz, int) is
  'Enqueues a video and returns its job. A known URL writes nothing; a new one becomes a candidate and revives a '
  'failed job.';

create function public.enqueue_videos(videos jsonb) returns setof public.video_queue
language plpgsql security definer set search_path = ''
as $$
begin
  if videos is null or jsonb_typeof(videos) <> 'array' then
    raise exception using errcode = 'PT400', message = 'videos must be an array';
  elsif jsonb_array_length(videos) > 500 then
    raise exception using errcode = 'PT400', message = 'at most 500 videos at once';
  end if;
  return query select g.* from keepstream.enqueue_in_order(videos) e cross join lateral keepstream.require_rights(e) g;
end
$$;
comment on function public.enqueue_videos(jsonb) is
  'enqueue_video for all servers of a response, all or none. Items have its argument names; jobs are returned in '
  'key order.';
