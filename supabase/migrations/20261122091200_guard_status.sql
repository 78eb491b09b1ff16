-- Applies a status that was set by hand (by an operator's UPDATE, or by the rarer functions): the
-- same transitions, derived columns and event as the functions. The frequent functions (claim,
-- report, archive) write all of it in one statement and mark that by setting applied_status, which
-- no API role may write. This is an AFTER trigger because a BEFORE trigger would read and lock the
-- row again on every claim and heartbeat.
create function keepstream.apply_status_change() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  job public.video_queue := new;
  moment timestamptz := clock_timestamp();
begin
  if new.status = 'ready' then
    raise exception using errcode = 'PT422', message = 'only upsert_video_store makes a job ready';
  elsif (old.status, new.status) not in (
    ('pending', 'downloading'), ('pending', 'failed'),
    ('downloading', 'uploading'), ('downloading', 'failed'), ('downloading', 'pending'),
    ('uploading', 'failed'), ('uploading', 'pending'),
    ('failed', 'downloading'), ('failed', 'pending'),
    ('ready', 'pending')
  ) then
    raise exception using errcode = 'PT422', message = format('a job cannot go from %s to %s', old.status, new.status);
  end if;

  if (job.status = 'pending' or (job.status = 'failed' and job.terminal_at is null)) and not keepstream.archiving_allowed(job.mal_id, job.episode, job.provider) then
    if old.status = 'ready' and exists (select from public.video_store s where s.queue_id = job.id) then
      raise exception using errcode = 'PT403', message = 'no archiving rights are declared for this video: its archive stays and is not replaced';
    end if;
    job.status := 'failed';
    job.retry_count := old.retry_count;
    job.error_class := 'policy_denied';
    job.error_message := keepstream.missing_rights_message();
    job.terminal_at := moment;
  end if;
  if old.cancel_requested_at is not null and job.status in ('pending', 'failed') then
    job.status := 'failed';
    job.error_class := 'cancelled';
    job.error_message := 'cancelled';
    job.terminal_at := moment;
  end if;

  if job.status = 'downloading' then
    insert into keepstream.video_leases (queue_id) values (job.id) on conflict do nothing;
  elsif job.status in ('pending', 'failed') then
    if old.lease_token is not null then
      delete from keepstream.video_leases l where l.queue_id = job.id;
    end if;
    job.lease_token := null;
    job.lease_owner := null;
    job.lease_expires_at := null;
    job.cancel_requested_at := null;
    job.progress := null;
    job.candidates := null;
  end if;

  if job.status = 'pending' then
    if old.status in ('downloading', 'uploading') then
      job.attempts := old.attempts - 1;
      job.retry_count := old.retry_count;
    else
      if old.status = 'ready' or old.terminal_at is not null or job.retry_count = 0 then
        job.attempts := 0;
        job.retry_count := 0;
      end if;
      job.error_class := null;
      job.error_message := null;
      job.run_at := moment;
      -- Retried by an operator and not for a new URL: every known candidate may be tried again.
      if not exists (select from public.video_candidates c where c.queue_id = job.id and c.state = 'live') then
        update public.video_candidates c set state = 'live' where c.queue_id = job.id;
      end if;
      perform keepstream.notify_runner();
    end if;
    job.terminal_at := null;
    job.finished_at := null;
  elsif job.status = 'failed' then
    job.error_class := coalesce(job.error_class, 'unknown');
    if old.status in ('downloading', 'uploading') then
      job.retry_count := old.retry_count + 1;
    end if;
    if job.attempts >= job.max_attempts then
      job.terminal_at := coalesce(job.terminal_at, moment);
    end if;
    job.error_message := keepstream.failure_text(job.error_message, job.id);
    job.finished_at := job.terminal_at;
  end if;
  if job.status in ('pending', 'failed') and job.finished_at is null then
    job.candidates := keepstream.live_candidates(job.id);
  end if;

  insert into keepstream.events (queue_id, at, kind, to_status, lease_epoch, worker, error_class, detail, previous)
  values (
    job.id,
    moment,
    case
      when job.status = 'downloading' then 'claimed'
      when job.status = 'uploading' then 'uploading'
      when job.status = 'failed' and old.lease_token is null then 'cancelled'
      when job.status = 'failed' and old.lease_expires_at <= moment then 'rescued'
      when job.status = 'failed' then 'failed'
      when old.lease_token is not null then 'released'
      when old.status = 'ready' then 'rearchived'
      else 'revived'
    end,
    job.status,
    job.lease_epoch,
    coalesce(job.lease_owner, old.lease_owner),
    job.error_class,
    case
      when job.status = 'failed' then
        jsonb_build_object('error', job.error_message, 'attempt', job.attempts, 'terminal', job.terminal_at is not null)
      when job.status = 'pending' and old.status = 'failed' then
        jsonb_build_object('reset', job.attempts = 0 and job.retry_count = 0)
    end,
    old.last_event
  )
  returning id into job.last_event;

  update public.video_queue q
  set status = job.status, applied_status = job.status, updated_at = moment, attempts = job.attempts, retry_count = job.retry_count, run_at = job.run_at,
      error_class = job.error_class, error_message = job.error_message, terminal_at = job.terminal_at, finished_at = job.finished_at,
      lease_token = job.lease_token, lease_owner = job.lease_owner, lease_expires_at = job.lease_expires_at,
      cancel_requested_at = job.cancel_requested_at, progress = job.progress, candidates = job.candidates, last_event = job.last_event
  where q.id = job.id;
  return null;
end
$$;
create trigger video_queue_applies_status after update of status, applied_status on public.video_queue
  for each row when (new.status <> new.applied_status) execute function keepstream.apply_status_change();

create function keepstream.record_new_job() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if new.status <> 'pending' or new.applied_status <> 'pending' then
    raise exception using errcode = 'PT422', message = format('a new job must be pending, not %s', new.status);
  end if;
  insert into keepstream.events (queue_id, kind, to_status) values (new.id, 'enqueued', 'pending');
  return null;
end
$$;
create trigger video_queue_records_insert after insert on public.video_queue
  for each row execute function keepstream.record_new_job();

-- A store row without a copy, or a ready job without a store row, would be a dead link. Losing the
-- last copy or the store row therefore queues the video again, even if its re-archive is a dead
-- letter (unless an operator cancelled it). A missing copy does not count as lost: its target may
-- be unavailable for a while.
create function keepstream.drop_store_without_copies() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform from public.video_store s where s.id = old.store_id for update;
  if found and not exists (
    select from public.video_replicas r where r.store_id = old.store_id and (r.state = 'verified' or r.missing_since is not null)
  ) then
    delete from public.video_store s where s.id = old.store_id;
  end if;
  return null;
end
$$;
create trigger video_replicas_keep_one_updated after update of state, missing_since on public.video_replicas
  for each row when ((old.state = 'verified' or old.missing_since is not null) and new.state <> 'verified' and new.missing_since is null) execute function keepstream.drop_store_without_copies();
create trigger video_replicas_keep_one_deleted after delete on public.video_replicas
  for each row when (old.state = 'verified' or old.missing_since is not null) execute function keepstream.drop_store_without_copies();

create function keepstream.requeue_without_store() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  update public.video_queue q set status = 'pending'
  where q.id = old.queue_id and (q.status = 'ready' or (q.terminal_at is not null and q.error_class is distinct from 'cancelled'));
  update public.video_queue q set error_message = substr(q.error_message, length('the old archive stays: ') + 1)
  where q.id = old.queue_id and q.error_message like 'the old archive stays: %';
  return null;
end
$$;
create trigger video_store_loss_requeues after delete on public.video_store
  for each row execute function keepstream.requeue_without_store();
