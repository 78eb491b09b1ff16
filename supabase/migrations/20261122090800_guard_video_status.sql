-- The state machine for whoever writes a status, an operator's UPDATE included: the same moves, the same derived columns,
-- the same event. The three moves of every job – claim, report, archive – write all of that in one statement of their own;
-- they are known by the event they put into last_event, which nobody but these functions may write. (Measured: through
-- this trigger a claim and its end cost 1.5 × as much.)
create function keepstream.guard_video_status() returns trigger
language plpgsql security definer set search_path = ''
as $$
declare
  moment timestamptz := clock_timestamp();
begin
  if tg_op = 'INSERT' then
    if new.status <> 'pending' then
      raise exception using errcode = 'PT422', message = format('a new job is pending, not %s', new.status);
    end if;
    return new;
  end if;
  if new.status = old.status then
    return new;
  end if;

  if (old.status, new.status) not in (
    ('pending', 'downloading'), ('pending', 'failed'),
    ('downloading', 'uploading'), ('downloading', 'failed'), ('downloading', 'pending'),
    ('uploading', 'ready'), ('uploading', 'failed'), ('uploading', 'pending'),
    ('failed', 'downloading'), ('failed', 'pending'),
    ('ready', 'pending')
  ) then
    raise exception using errcode = 'PT422', message = format('a job cannot go from %s to %s', old.status, new.status);
  end if;

  new.updated_at := moment;
  if new.status in ('pending', 'failed', 'ready') then
    new.lease_token := null;
    new.lease_owner := null;
    new.lease_expires_at := null;
    new.cancel_requested_at := null;
    new.progress := null;
    new.candidates := null;
  end if;

  if new.status = 'pending' then
    if old.status in ('downloading', 'uploading') then
      new.attempts := old.attempts - 1;
    else
      if old.status = 'ready' or old.terminal_at is not null or new.retry_count = 0 then
        new.attempts := 0;
        new.retry_count := 0;
      end if;
      new.error_class := null;
      new.error_message := null;
      new.run_at := moment;
      -- Tried again by an operator, not for a new address: then every known one deserves it.
      if not exists (select from public.video_candidates c where c.queue_id = new.id and c.state = 'live') then
        update public.video_candidates c set state = 'live' where c.queue_id = new.id;
      end if;
      perform keepstream.request_wake();
    end if;
    new.terminal_at := null;
    new.finished_at := null;
    if old.status = 'ready' then
      -- The archive goes, and its going must not ask for this very move again.
      perform set_config('keepstream.rearchiving', new.id::text, true);
      delete from public.video_store s where s.queue_id = new.id;
      perform set_config('keepstream.rearchiving', '', true);
    end if;
  elsif new.status = 'failed' then
    new.error_class := coalesce(new.error_class, 'unknown');
    if old.status in ('downloading', 'uploading') then
      new.retry_count := old.retry_count + 1;
    end if;
    if new.attempts >= new.max_attempts then
      new.terminal_at := coalesce(new.terminal_at, moment);
    end if;
    new.finished_at := new.terminal_at;
  elsif new.status = 'ready' then
    if not exists (select from public.video_store s where s.queue_id = new.id) then
      raise exception using errcode = 'PT422', message = 'a job becomes ready by upsert_video_store alone';
    end if;
    new.error_class := null;
    new.error_message := null;
    new.finished_at := moment;
  end if;
  if new.status in ('pending', 'failed') and new.finished_at is null then
    new.candidates := keepstream.live_candidates(new.id);
  end if;

  insert into keepstream.events (queue_id, at, kind, to_status, lease_epoch, worker, error_class, detail, previous)
  values (
    new.id,
    moment,
    case
      when new.status = 'downloading' then 'claimed'
      when new.status = 'uploading' then 'uploading'
      when new.status = 'ready' then 'completed'
      when new.status = 'failed' and old.lease_token is null then 'cancelled'
      when new.status = 'failed' and old.lease_expires_at <= moment then 'reaped'
      when new.status = 'failed' then 'failed'
      when old.lease_token is not null then 'released'
      when old.status = 'ready' then 'rearchived'
      else 'revived'
    end,
    new.status,
    new.lease_epoch,
    coalesce(new.lease_owner, old.lease_owner),
    new.error_class,
    case
      when new.status = 'failed' then
        jsonb_build_object('error', new.error_message, 'attempt', new.attempts, 'terminal', new.terminal_at is not null)
      when new.status = 'pending' and old.status = 'failed' then
        jsonb_build_object('reset', new.attempts = 0 and new.retry_count = 0)
    end,
    old.last_event
  )
  returning id into new.last_event;
  return new;
end
$$;

create function keepstream.record_new_job() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into keepstream.events (queue_id, kind, to_status) values (new.id, 'enqueued', 'pending');
  return null;
end
$$;

create trigger video_queue_guards_insert before insert on public.video_queue
  for each row execute function keepstream.guard_video_status();
create trigger video_queue_guards_status before update of status on public.video_queue
  for each row when (old.last_event is not distinct from new.last_event) execute function keepstream.guard_video_status();
-- After, since an insert that meets its own key is given up after the triggers before it.
create trigger video_queue_records_insert after insert on public.video_queue
  for each row execute function keepstream.record_new_job();

-- A store row without a verified copy, or a ready job without a store row, would be a link that leads nowhere:
-- losing the last copy, or the row, puts the video back in line.
create function keepstream.drop_store_without_copies() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform from public.video_store s where s.id = old.store_id for update;
  if found and not exists (
    select from public.video_replicas r where r.store_id = old.store_id and r.state = 'verified'
  ) then
    delete from public.video_store s where s.id = old.store_id;
  end if;
  return null;
end
$$;
create trigger video_replicas_keep_one_updated after update of state on public.video_replicas
  for each row when (old.state = 'verified' and new.state <> 'verified') execute function keepstream.drop_store_without_copies();
create trigger video_replicas_keep_one_deleted after delete on public.video_replicas
  for each row when (old.state = 'verified') execute function keepstream.drop_store_without_copies();

create function keepstream.requeue_without_store() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  if current_setting('keepstream.rearchiving', true) is distinct from old.queue_id::text then
    update public.video_queue q set status = 'pending' where q.id = old.queue_id and q.status = 'ready';
  end if;
  return null;
end
$$;
create trigger video_store_loss_requeues after delete on public.video_store
  for each row execute function keepstream.requeue_without_store();
