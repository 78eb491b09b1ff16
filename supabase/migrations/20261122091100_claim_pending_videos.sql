-- Hand out due jobs, each with a fresh token and the next epoch. Nobody waits for anybody: what another claim is
-- looking at is skipped. One probe per priority, so that a long back-off in one never hides another. The plan is made
-- once and held to its indexes: a new one for every call cost half of it, and statistics of a queue are always stale.
create function public.claim_pending_videos("limit" int, worker text default 'runner', lease_seconds int default 120)
returns table (
  id uuid, mal_id int, episode int, provider text, resolution text, video_url text, embed_url text,
  status text, priority smallint, attempts int, max_attempts int, retry_count int, error_class text,
  lease_token uuid, lease_epoch int, lease_owner text, lease_expires_at timestamptz, created_at timestamptz, candidates jsonb
)
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  wanted constant int := least(coalesce("limit", 0), 50);
  holder constant text := left(coalesce(nullif(trim(worker), ''), 'runner'), 100);
  seconds constant int := least(greatest(coalesce(lease_seconds, 120), 10), 3600);
  moment timestamptz;
begin
  if wanted <= 0 then
    return;
  end if;
  perform keepstream.answer_wake();
  moment := clock_timestamp();
  return query
  with due as materialized (
    select d.place from (values (0::smallint), (1), (2), (3)) as p (priority)
    cross join lateral (
      select q.ctid as place from public.video_queue q
      where q.priority = p.priority and q.run_at <= moment
        and q.status in ('pending', 'failed') and q.terminal_at is null
      order by q.run_at, q.id
      limit wanted
      for update skip locked
    ) d
    limit wanted
  ), claimed as (
    update public.video_queue q
    set status = 'downloading', attempts = q.attempts + 1,
        lease_token = gen_random_uuid(), lease_epoch = q.lease_epoch + 1, lease_owner = holder,
        lease_expires_at = moment + make_interval(secs => seconds),
        started_at = coalesce(q.started_at, moment), progress = null
    from due where q.ctid = due.place
    returning q.*
  )
  select c.id, c.mal_id::int, c.episode::int, c.provider::text, c.resolution::text, c.video_url::text, c.embed_url::text,
    c.status, c.priority::smallint, c.attempts, c.max_attempts, c.retry_count, c.error_class,
    c.lease_token, c.lease_epoch, c.lease_owner, c.lease_expires_at, c.created_at,
    coalesce(
      (select jsonb_agg(jsonb_build_object(
          'id', v.id, 'rank', v.rank, 'embed_url', v.embed_url, 'video_url', v.video_url, 'kind', v.kind,
          'headers', coalesce(v.headers, '{}'), 'expires_at', v.expires_at, 'fails', v.fails) order by v.fails, v.rank)
        from public.video_candidates v where v.queue_id = c.id and v.state = 'live'),
      jsonb_build_array(jsonb_build_object(
        'id', null, 'rank', 0, 'embed_url', c.embed_url, 'video_url', c.video_url, 'kind', null,
        'headers', '{}'::jsonb, 'expires_at', null, 'fails', 0)))
  from claimed c
  order by c.priority, c.run_at, c.id;
end
$$;
comment on function public.claim_pending_videos(int, text, int) is
  'Leases up to limit (at most 50) due jobs to worker, best first, with the addresses to try.';
