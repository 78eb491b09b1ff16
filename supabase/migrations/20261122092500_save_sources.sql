-- The second and last round trip of a cold response: caches what providers listed and enqueues what
-- may be archived.
create function public.save_sources(mal_id int, episode int, lists jsonb) returns jsonb
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
    'headers', v.value -> 'headers', 'expires_at', case when pg_input_is_valid(v.value ->> 'expires_at', 'timestamptz') then v.value ->> 'expires_at' end) as server
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
comment on function public.save_sources(int, int, jsonb) is
  'Caches source lists and enqueues every playable server with archiving rights; returns {enqueued, queue_full, '
  'queue}. age_seconds says how long ago a list''s read began; a list older than the cached one changes nothing. '
  'Nothing is saved for episodes that are taken down.';
