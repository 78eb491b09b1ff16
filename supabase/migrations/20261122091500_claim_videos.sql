-- Leases due jobs, each with a new token and the next epoch. Rows that another claim has locked are
-- skipped. The plan is generic and forced to the index: planning each call took half of its time,
-- and the statistics of a queue are always stale. The scan yields the order and the row carries its
-- candidates, so nothing is sorted or joined.
create function public.claim_pending_videos("limit" int, worker text default 'runner', lease_seconds int default 120)
returns table (
  id uuid, mal_id int, episode int, provider text, resolution text, video_url text, embed_url text,
  status text, priority smallint, attempts int, max_attempts int, retry_count int, error_class text,
  lease_token uuid, lease_epoch int, lease_owner text, lease_expires_at timestamptz, created_at timestamptz, candidates jsonb
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
        q.candidates, q.last_event, due.previous
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
        'headers', '{}'::jsonb, 'expires_at', null, 'fails', 0)))
    from claimed c;
    get diagnostics claimed = row_count;
    wanted := wanted - claimed;
    exit when wanted = 0 or not keepstream.ack_notification();
  end loop;
end
$$;
comment on function public.claim_pending_videos(int, text, int) is
  'Leases up to limit (at most 50) due jobs to worker, best first, with their candidates.';

-- Joins the list of leases to the queue by primary key. The planner is forced to this order because
-- it does not know that the list is short and the queue long.
create function public.leased_videos()
returns table (id uuid, status text, lease_owner text, lease_token uuid, lease_expires_at timestamptz, run_at timestamptz)
language sql stable security definer set search_path = ''
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
  select q.* from keepstream.video_leases l cross join lateral (
    select j.id, j.status::text, j.lease_owner, j.lease_token, j.lease_expires_at, j.run_at
    from public.video_queue j where j.id = l.queue_id offset 0
  ) q
$$;
comment on function public.leased_videos() is 'The leased jobs with status, owner, token and expiry of the lease.';
