-- One heartbeat for all jobs of a runner. Touches no indexed column, so the update stays on its page.
create function public.extend_video_lease(ids uuid[], lease_tokens uuid[], lease_seconds int default 120, progress jsonb default null)
returns table (id uuid, lease_expires_at timestamptz, cancel_requested boolean, lost boolean)
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  seconds constant int := least(greatest(coalesce(lease_seconds, 120), 10), 3600);
  moment timestamptz := clock_timestamp();
begin
  if cardinality(ids) is distinct from cardinality(lease_tokens) then
    raise exception using errcode = 'PT400', message = 'ids and lease_tokens must have the same length';
  elsif cardinality(ids) > 200 then
    raise exception using errcode = 'PT400', message = 'at most 200 leases at once';
  elsif exists (select from unnest(ids) as i (id) where octet_length((extend_video_lease.progress -> i.id::text)::text) > 8192) then
    raise exception using errcode = 'PT400', message = 'progress is at most 8192 bytes';
  end if;
  -- In the order of their keys, as whoever locks several jobs: two of them must not wait for each other.
  perform from public.video_queue q where q.id = any (ids) and q.lease_token = any (lease_tokens)
  order by q.mal_id, q.episode, q.provider, q.resolution for no key update;
  moment := clock_timestamp();
  return query
  with named as materialized (
    select n.job_id, n.token, n.place from unnest(ids, lease_tokens) with ordinality as n (job_id, token, place)
  ), extended as (
    update public.video_queue q
    set lease_expires_at = greatest(q.lease_expires_at, moment + make_interval(secs => seconds)),
        progress = coalesce(extend_video_lease.progress -> q.id::text, q.progress),
        updated_at = moment
    from (select distinct on (n.job_id) n.job_id, n.token from named n order by n.job_id) n
    where q.id = n.job_id and q.lease_token = n.token and q.lease_expires_at > moment
    returning q.id, q.lease_expires_at, q.cancel_requested_at
  )
  select n.job_id, e.lease_expires_at, coalesce(e.cancel_requested_at is not null, false), e.id is null
  from named n left join extended e on e.id = n.job_id
  order by n.place;
end
$$;
comment on function public.extend_video_lease(uuid[], uuid[], int, jsonb) is
  'Extends leases (never shortens). progress: {"<id>": {…}}. A row per id: lost means stop, cancel_requested means stop and say failed.';
