-- What operators do with single jobs.

-- The documented retry statement as a function that returns the number of jobs: the API limits
-- returned rows.
create function public.retry_videos(ids uuid[] default null) returns int
language plpgsql security definer set search_path = ''
as $$
declare
  failed uuid[];
  retried int;
begin
  failed := array(
    select q.id from public.video_queue q
    where q.status = 'failed' and (q.id = any (ids) or (ids is null and q.error_class is distinct from 'cancelled'))
      and keepstream.archiving_allowed(q.mal_id, q.episode, q.provider)
    order by q.mal_id, q.episode, q.provider, q.resolution for update);
  update public.video_queue q set status = 'pending', retry_count = 0 where q.id = any (failed);
  get diagnostics retried = row_count;
  return retried;
end
$$;
comment on function public.retry_videos(uuid[]) is
  'Puts failed jobs with archiving rights back in the queue with new attempts: those named, or all but cancelled '
  'ones. Returns how many.';

-- Queued jobs fail immediately; running jobs stop at their next heartbeat or report.
create function public.cancel_video(id uuid) returns public.video_queue
language plpgsql security definer set search_path = ''
as $$
declare
  job public.video_queue;
  moment timestamptz := clock_timestamp();
begin
  select * into job from public.video_queue q where q.id = cancel_video.id for update;
  if not found then
    raise exception using errcode = 'PT404', message = 'no such job';
  elsif job.status = 'ready' then
    raise exception using errcode = 'PT422', message = 'a ready job cannot be cancelled', hint = 'takedown removes an archive';
  elsif job.lease_token is not null then
    if job.cancel_requested_at is null then
      update public.video_queue q set cancel_requested_at = moment, updated_at = moment where q.id = job.id returning * into job;
      insert into keepstream.events (queue_id, kind, lease_epoch, worker) values (job.id, 'cancel_requested', job.lease_epoch, job.lease_owner);
    end if;
  elsif job.error_class is distinct from 'cancelled' or job.terminal_at is null then
    -- apply_status_change does not run, because the status stays failed: write the event here.
    if job.status = 'failed' then
      insert into keepstream.events (queue_id, at, kind, to_status, lease_epoch, error_class, detail, previous)
      values (job.id, moment, 'cancelled', 'failed', job.lease_epoch, 'cancelled', jsonb_build_object('terminal', true), job.last_event)
      returning events.id into job.last_event;
    end if;
    update public.video_queue q
    set status = 'failed', error_class = 'cancelled', terminal_at = moment, finished_at = moment, updated_at = moment,
        error_message = case when job.status = 'failed' then keepstream.failure_text('cancelled', q.id) else 'cancelled' end,
        candidates = null, last_event = job.last_event
    where q.id = job.id;
    select * into job from public.video_queue q where q.id = job.id;
  end if;
  return job;
end
$$;
comment on function public.cancel_video(uuid) is
  'Cancels a job: a waiting job becomes a dead letter; a running one gets cancel_requested and fails at its next '
  'report. Repeating the call changes nothing. 422 for a ready job.';
