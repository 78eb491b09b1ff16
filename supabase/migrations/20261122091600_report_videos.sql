-- What a runner reports on its claimed jobs: progress, the outcome, heartbeats.

create function keepstream.raise_missing_token() returns void
language plpgsql set search_path = ''
as $$
begin
  raise exception using errcode = 'PT409', message = 'lease_token is missing: a claimed job can only be written with its lease',
    hint = 'claim_pending_videos returns the lease_token of each job: pass it on with every call';
end
$$;
comment on function keepstream.raise_missing_token() is 'Raises the error for a call without a lease token.';

-- Reports on a claimed job. Only its current, unexpired lease token is accepted.
create function public.update_video_queue_status(
  id uuid, status text, error text default null, lease_token uuid default null, error_class text default null,
  progress jsonb default null, retry_after_seconds int default null, candidate_id uuid default null
) returns public.video_queue
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  held record; -- the job before the change, with the policy of its error class
  job public.video_queue;
  class text;
  effect text;
  base_seconds int;
  counts_against_source boolean;
  about text;
  failed_candidate public.video_candidates;
  moment timestamptz;
  message text;
  to_status text := status;
  due timestamptz;
  dead timestamptz;
  remaining jsonb;
  next_candidate jsonb;
  has_rights boolean;
begin
  -- Classes that only the database may set count as unknown.
  select q.*, e.name as class, e.effect, e.base_seconds, e.counts_against_source, e.about into held
  from public.video_queue q
  left join keepstream.error_classes e
    on e.name = case when update_video_queue_status.error_class in ('lease_expired', 'cancelled') then 'unknown' else update_video_queue_status.error_class end
  where q.id = update_video_queue_status.id for update of q;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such job';
  end if;
  moment := clock_timestamp();
  class := held.class;
  effect := held.effect;
  base_seconds := held.base_seconds;
  counts_against_source := held.counts_against_source;
  about := held.about;
  if update_video_queue_status.lease_token is null then
    perform keepstream.raise_missing_token();
  elsif held.lease_token is null or held.lease_token is distinct from update_video_queue_status.lease_token or held.lease_expires_at <= moment then
    raise exception using errcode = 'PT409', message = 'the lease of this job has expired or belongs to another worker', hint = 'stop working on it';
  end if;
  if to_status is null or to_status not in ('downloading', 'uploading', 'failed', 'pending')
    or (held.status = 'uploading' and to_status = 'downloading') then
    raise exception using errcode = 'PT422',
      message = format('a report cannot change a job from %s to %s', held.status, coalesce(to_status, 'nothing')),
      hint = 'report uploading, failed or pending; upsert_video_store makes a job ready';
  end if;
  if octet_length(update_video_queue_status.progress::text) > 8192 then
    raise exception using errcode = 'PT400', message = 'progress must be at most 8192 bytes';
  end if;

  if to_status = held.status then
    update public.video_queue q
    set progress = coalesce(update_video_queue_status.progress, q.progress), updated_at = moment
    where q.id = held.id returning * into job;
    return job;
  end if;

  has_rights := keepstream.archiving_allowed(held.mal_id, held.episode, held.provider);
  if to_status = 'uploading' and held.cancel_requested_at is null and has_rights then
    with moved as (
      update public.video_queue q
      set status = 'uploading', applied_status = 'uploading', progress = coalesce(update_video_queue_status.progress, q.progress), updated_at = moment,
          last_event = nextval('keepstream.events_id_seq')
      where q.id = held.id returning *
    ), noted as (
      insert into keepstream.events (id, queue_id, at, kind, to_status, lease_epoch, worker, error_class, previous)
      select m.last_event, m.id, moment, 'uploading', m.status, m.lease_epoch, m.lease_owner, m.error_class, held.last_event from moved m
    )
    select * into job from moved;
    return job;
  end if;

  if held.cancel_requested_at is not null then
    to_status := 'failed';
    error := 'cancelled';
    class := 'cancelled';
    effect := 'dead_letter';
  elsif not has_rights then
    to_status := 'failed';
    error := keepstream.missing_rights_message();
    class := 'policy_denied';
    effect := 'dead_letter';
  elsif to_status = 'failed' and class is null then -- no class, or one that is unknown here
    select e.name, e.effect, e.base_seconds, e.counts_against_source, e.about into class, effect, base_seconds, counts_against_source, about
    from keepstream.error_classes e where e.name = 'unknown';
  end if;

  remaining := held.candidates;
  due := moment;
  if to_status = 'pending' then
    if retry_after_seconds > 0 then
      due := moment + make_interval(secs => least(retry_after_seconds, 21600) * (1 + 0.1 * random()));
    end if;
  elsif effect = 'release' then
    to_status := 'pending';
  elsif effect = 'dead_letter' then
    dead := moment;
  else
    if counts_against_source or effect in ('try_next_source', 'discard_source') then
      -- The candidate that the caller names, if the job still has it; otherwise the one in use.
      update public.video_candidates c
      set fails = c.fails + 1, last_error_class = class,
          state = case effect when 'try_next_source' then 'expired' when 'discard_source' then 'dead' else c.state end
      where c.id = coalesce(candidate_id, (held.candidates -> 0 ->> 'id')::uuid) and c.queue_id = held.id
      returning c.* into failed_candidate;
      if failed_candidate.state <> 'live' and jsonb_array_length(held.candidates) = 1 and (held.candidates -> 0 ->> 'id')::uuid = failed_candidate.id then
        remaining := null; -- it was the only one
      else
        remaining := keepstream.live_candidates(held.id);
      end if;
      next_candidate := remaining -> 0;
    end if;
    if effect = 'discard_source' and remaining is null then
      dead := moment;
    elsif effect = 'try_next_source' and remaining is not null then
      to_status := 'pending';
    elsif effect <> 'discard_source' then
      if effect = 'try_next_source' then
        -- All candidates have expired. Their pages may list new URLs after the backoff.
        update public.video_candidates c set state = 'live' where c.queue_id = held.id and c.state = 'expired';
        remaining := keepstream.live_candidates(held.id);
      end if;
      due := moment + case
        when retry_after_seconds > 0 then make_interval(secs => least(retry_after_seconds, 21600) * (1 + 0.1 * random()))
        else keepstream.retry_delay(base_seconds, held.attempts)
      end;
    end if;
  end if;

  if to_status = 'failed' and held.attempts >= held.max_attempts then
    dead := moment;
  end if;
  if dead is not null then
    remaining := null;
  end if;
  if error is not null then
    message := keepstream.redact(error);
  end if;

  delete from keepstream.video_leases l where l.queue_id = held.id;
  with moved as (
    update public.video_queue q
    set status = to_status, applied_status = to_status,
        attempts = case when to_status = 'pending' then q.attempts - 1 else q.attempts end,
        retry_count = case when to_status = 'failed' then q.retry_count + 1 else q.retry_count end,
        error_class = coalesce(class, q.error_class),
        error_message = case when to_status = 'failed' then keepstream.failure_text(coalesce(message, about, q.error_message), q.id)
          else coalesce(message, q.error_message) end,
        run_at = due, terminal_at = dead, finished_at = dead, updated_at = moment,
        video_url = coalesce(next_candidate ->> 'video_url', q.video_url),
        embed_url = case when next_candidate is null then q.embed_url else next_candidate ->> 'embed_url' end,
        lease_token = null, lease_owner = null, lease_expires_at = null, cancel_requested_at = null, progress = null,
        candidates = remaining,
        last_event = nextval('keepstream.events_id_seq')
    where q.id = held.id returning *
  ), noted as (
    insert into keepstream.events (id, queue_id, at, kind, to_status, lease_epoch, worker, error_class, detail, previous)
    select m.last_event, m.id, moment, case to_status when 'failed' then 'failed' else 'released' end, to_status, m.lease_epoch,
      held.lease_owner, m.error_class,
      case to_status when 'failed' then
        jsonb_build_object('error', m.error_message, 'attempt', m.attempts, 'terminal', dead is not null)
      end, held.last_event
    from moved m
  )
  select * into job from moved;
  return job;
end
$$;
comment on function public.update_video_queue_status(uuid, text, text, uuid, text, jsonb, int, uuid) is
  'Reports on a claimed job: progress (its present status), uploading, failed with an error class, or pending '
  '(given back, no attempt counted). 404 unknown job, 409 stale lease, 422 forbidden transition. Check the returned '
  'status: it is failed if the job was cancelled or lost its archiving rights.';

-- One heartbeat for all jobs of a runner. It writes no indexed column, so the update stays on its
-- page.
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
    raise exception using errcode = 'PT400', message = 'at most 200 leases per call';
  elsif exists (select from unnest(ids) as i (id) where octet_length((extend_video_lease.progress -> i.id::text)::text) > 8192) then
    raise exception using errcode = 'PT400', message = 'progress must be at most 8192 bytes';
  end if;
  -- In key order, like every function that locks several jobs: two calls cannot deadlock.
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
  'Extends leases and never shortens them. progress: {"<id>": {…}}. Returns a row per id; lost: stop working on the '
  'job, cancel_requested: stop and report failed.';
