-- What a holder says about its job. Only the current, unexpired token is heard.
create function public.update_video_queue_status(
  id uuid, status text, error text default null, lease_token uuid default null, error_class text default null,
  progress jsonb default null, retry_after_seconds int default null, candidate_id uuid default null
) returns public.video_queue
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  job record;
  blamed public.video_candidates;
  moment timestamptz;
  message text;
  to_status text := status;
  due timestamptz;
  dead timestamptz;
  addresses jsonb;
  next_address jsonb;
  may_go_on boolean;
begin
  -- With the policy of its class. One that is not the holder's to say counts as unknown.
  select q.*, e.name as class, e.effect, e.base_seconds, e.blames_source, e.about into job
  from public.video_queue q
  left join keepstream.error_classes e
    on e.name = case when update_video_queue_status.error_class in ('lease_expired', 'cancelled') then 'unknown' else update_video_queue_status.error_class end
  where q.id = update_video_queue_status.id for update of q;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such job';
  end if;
  moment := clock_timestamp();
  if job.lease_token is null or job.lease_token is distinct from update_video_queue_status.lease_token or job.lease_expires_at <= moment then
    raise exception using errcode = 'PT409', message = 'the lease of this job is not yours, or no longer', hint = 'stop working on it';
  end if;
  if to_status is null or to_status not in ('downloading', 'uploading', 'failed', 'pending')
    or (job.status = 'uploading' and to_status = 'downloading') then
    raise exception using errcode = 'PT422',
      message = format('a holder cannot take a job from %s to %s', job.status, coalesce(to_status, 'nothing')),
      hint = 'moves are in docs/queue.md; upsert_video_store makes a job ready';
  end if;
  if octet_length(update_video_queue_status.progress::text) > 8192 then
    raise exception using errcode = 'PT400', message = 'progress is at most 8192 bytes';
  end if;

  if to_status = job.status then
    update public.video_queue q
    set progress = coalesce(update_video_queue_status.progress, q.progress), updated_at = moment
    where q.id = job.id returning * into job;
    return job;
  end if;

  may_go_on := keepstream.may_keep(job.mal_id, job.episode, job.provider);
  if to_status = 'uploading' and job.cancel_requested_at is null and may_go_on then
    with moved as (
      update public.video_queue q
      set status = 'uploading', settled_status = 'uploading', progress = coalesce(update_video_queue_status.progress, q.progress), updated_at = moment,
          last_event = nextval('keepstream.events_id_seq')
      where q.id = job.id returning *
    ), noted as (
      insert into keepstream.events (id, queue_id, at, kind, to_status, lease_epoch, worker, error_class, previous)
      select m.last_event, m.id, moment, 'uploading', m.status, m.lease_epoch, m.lease_owner, m.error_class, job.last_event from moved m
    )
    select * into job from moved;
    return job;
  end if;

  if job.cancel_requested_at is not null then
    to_status := 'failed';
    error := 'cancelled';
    job.class := 'cancelled';
    job.effect := 'terminal';
  elsif not may_go_on then
    to_status := 'failed';
    error := keepstream.no_ground();
    job.class := 'policy_denied';
    job.effect := 'terminal';
  elsif to_status = 'failed' and job.class is null then -- none was given, or one this schema does not know yet
    select e.name, e.effect, e.base_seconds, e.blames_source, e.about
    into job.class, job.effect, job.base_seconds, job.blames_source, job.about
    from keepstream.error_classes e where e.name = 'unknown';
  end if;

  addresses := job.candidates;
  due := moment;
  if to_status = 'pending' then
    if retry_after_seconds > 0 then
      due := moment + make_interval(secs => least(retry_after_seconds, 21600) * (1 + 0.1 * random()));
    end if;
  elsif job.effect = 'release' then
    to_status := 'pending';
  elsif job.effect = 'terminal' then
    dead := moment;
  else
    if job.blames_source or job.effect in ('next_source', 'terminal_source') then
      -- The one named, while this job has it; where none is named, the one that was first in line.
      update public.video_candidates c
      set fails = c.fails + 1, last_error_class = job.class,
          state = case job.effect when 'next_source' then 'expired' when 'terminal_source' then 'dead' else c.state end
      where c.id = coalesce(candidate_id, (job.candidates -> 0 ->> 'id')::uuid) and c.queue_id = job.id
      returning c.* into blamed;
      if blamed.state <> 'live' and jsonb_array_length(job.candidates) = 1 and (job.candidates -> 0 ->> 'id')::uuid = blamed.id then
        addresses := null; -- it was the only one
      else
        addresses := keepstream.live_candidates(job.id);
      end if;
      next_address := addresses -> 0;
    end if;
    if job.effect = 'terminal_source' and addresses is null then
      dead := moment;
    elsif job.effect = 'next_source' and addresses is not null then
      to_status := 'pending';
    elsif job.effect <> 'terminal_source' then
      if job.effect = 'next_source' then
        -- All of them expired: their pages may name fresh addresses after the back-off.
        update public.video_candidates c set state = 'live' where c.queue_id = job.id and c.state = 'expired';
        addresses := keepstream.live_candidates(job.id);
      end if;
      due := moment + case
        when retry_after_seconds > 0 then make_interval(secs => least(retry_after_seconds, 21600) * (1 + 0.1 * random()))
        else keepstream.retry_delay(job.base_seconds, job.attempts)
      end;
    end if;
  end if;

  if to_status = 'failed' and job.attempts >= job.max_attempts then
    dead := moment;
  end if;
  if dead is not null then
    addresses := null;
  end if;
  if error is not null then
    message := keepstream.redact(error);
  end if;

  delete from keepstream.video_leases l where l.queue_id = job.id;
  with moved as (
    update public.video_queue q
    set status = to_status, settled_status = to_status,
        attempts = case when to_status = 'pending' then q.attempts - 1 else q.attempts end,
        retry_count = case when to_status = 'failed' then q.retry_count + 1 else q.retry_count end,
        error_class = coalesce(job.class, q.error_class),
        error_message = coalesce(message, case when to_status = 'failed' then job.about end, q.error_message),
        run_at = due, terminal_at = dead, finished_at = dead, updated_at = moment,
        video_url = coalesce(next_address ->> 'video_url', q.video_url),
        embed_url = case when next_address is null then q.embed_url else next_address ->> 'embed_url' end,
        lease_token = null, lease_owner = null, lease_expires_at = null, cancel_requested_at = null, progress = null,
        candidates = addresses,
        last_event = nextval('keepstream.events_id_seq')
    where q.id = job.id returning *
  ), noted as (
    insert into keepstream.events (id, queue_id, at, kind, to_status, lease_epoch, worker, error_class, detail, previous)
    select m.last_event, m.id, moment, case to_status when 'failed' then 'failed' else 'released' end, to_status, m.lease_epoch,
      job.lease_owner, m.error_class,
      case to_status when 'failed' then
        jsonb_build_object('error', m.error_message, 'attempt', m.attempts, 'terminal', dead is not null)
      end, job.last_event
    from moved m
  )
  select * into job from moved;
  return job;
end
$$;
comment on function public.update_video_queue_status(uuid, text, text, uuid, text, jsonb, int, uuid) is
  'Moves a held job: its own status (progress), uploading, failed with a class, or pending (given back, attempt not consumed). '
  '404 unknown, 409 stale lease, 422 forbidden move. Look at the status that comes back: a cancel turns any move into failed, and so does a right to keep it that was withdrawn.';
