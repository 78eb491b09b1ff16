-- The sweep and its steps: rescue, clean up, notify, schedule.

-- Keeps the latest status change of each job, and all takedowns.
create function keepstream.prune_events(batch int) returns int
language plpgsql security definer set search_path = ''
as $$
declare
  cutoff timestamptz;
  seen bigint;
  upto bigint;
  pruned int;
begin
  select clock_timestamp() - make_interval(days => s.event_retention_days) into cutoff from keepstream.settings s;
  select r.pruned_through into seen from keepstream.event_retention r for update skip locked;
  if not found then
    return 0;
  end if;
  select max(e.id) into upto from (
    select n.id, n.at from keepstream.events n where n.id > seen order by n.id limit batch
  ) e where e.at < cutoff;
  if upto is null then
    return 0;
  end if;
  delete from keepstream.events e
  where e.id > seen and e.id <= upto and e.at < cutoff and e.queue_id is not null and e.kind <> 'taken_down' and not exists (
    select from public.video_queue q
    where q.id = e.queue_id and (q.last_event = e.id or (q.last_event is null and e.to_status is not null))
  );
  get diagnostics pruned = row_count;
  update keepstream.event_retention r set pruned_through = upto where r.singleton;
  return pruned;
end
$$;

create function keepstream.prune_caches(batch int) returns void
language sql security definer set search_path = ''
as $$
  delete from keepstream.source_lists l where l.ctid in (
    select o.ctid from keepstream.source_lists o, keepstream.settings s
    where o.fetched_at < pg_catalog.now() - pg_catalog.make_interval(days => s.source_list_retention_days)
    limit batch for update of o skip locked);
  delete from public.title_mappings m where m.ctid in (
    select o.ctid from public.title_mappings o where o.expires_at < pg_catalog.now() and not o.by_operator limit batch for update skip locked);
  delete from public.metadata_cache m where m.ctid in (
    select o.ctid from public.metadata_cache o where o.expires_at < pg_catalog.now() limit batch for update skip locked);
  delete from keepstream.source_reads r where r.ctid in (
    select o.ctid from keepstream.source_reads o where o.until < pg_catalog.now() limit batch for update skip locked);
  delete from keepstream.client_limits c where c.ctid in (
    select o.ctid from keepstream.client_limits o where o.full_at < pg_catalog.now() limit batch for update skip locked);
$$;
comment on function keepstream.prune_caches(int) is
  'Deletes expired cache rows and skips locked ones: the sweep never waits for them.';

create function keepstream.clean_up(moment timestamptz) returns int
language plpgsql security definer set search_path = '' set lock_timeout = '250ms'
as $$
declare
  pruned int;
begin
  -- Jobs that a concurrent enqueue or report left waiting, and changes made by hand.
  if (select r.changed_at > moment - interval '10 minutes' from keepstream.rights_review r) then
    perform keepstream.end_jobs_without_rights();
  end if;
  delete from keepstream.resource_leases l where (l.resource, l.slot) in (
    select o.resource, o.slot from keepstream.resource_leases o where o.expires_at < moment - interval '1 hour' for update skip locked);
  pruned := keepstream.prune_events(1000);
  perform keepstream.prune_caches(1000);
  perform keepstream.add_up_counts(10000);
  return pruned;
end
$$;
comment on function keepstream.clean_up(timestamptz) is
  'Ends jobs that lost their archiving rights and deletes old rows; returns the number of deleted events.';

create function keepstream.record_sweep(moment timestamptz, failure text) returns void
language plpgsql security definer set search_path = '' set lock_timeout = '80ms'
as $$
begin
  update keepstream.event_retention r
  set swept_at = moment, last_error = failure, failed_at = case when failure is not null then moment end
  where r.singleton = (select s.singleton from keepstream.event_retention s for update skip locked);
end
$$;

-- Cron jobs are deleted with the extension, or by hand. An existing job is not changed, even if an
-- operator disabled it.
create function keepstream.schedule_jobs() returns void
language plpgsql security definer set search_path = '' set lock_timeout = '80ms'
as $$
declare
  job record;
begin
  if to_regclass('cron.job') is null then
    return;
  end if;
  for job in select * from (values
    ('keepstream-sweep', '30 seconds', 'select public.sweep()'),
    -- pg_cron never deletes its run history: a million rows a year with a sweep every 30 s.
    ('keepstream-cron-history', '17 3 * * *', $cron$delete from cron.job_run_details where end_time < now() - interval '3 days'$cron$)
  ) as j (name, schedule, command)
  where not exists (select from cron.job c where c.jobname = j.name) loop
    perform cron.schedule(job.name, job.schedule, job.command);
  end loop;
end
$$;
comment on function keepstream.schedule_jobs() is 'Schedules missing cron jobs.';

-- Rescues expired leases, then cleans up and repeats the notification. Skips locked rows.
create function public.sweep() returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off set jit = off
as $$
declare
  moment timestamptz := clock_timestamp();
  expired uuid[];
  rescued int;
  copies int;
  pruned int;
  due boolean;
  failure text;
begin
  expired := array(select l.id from public.leased_videos() l where l.lease_expires_at <= moment limit 1000);
  expired := array(
    select q.id from public.video_queue q
    where q.id = any (expired) and q.lease_token is not null and q.lease_expires_at <= moment for update skip locked);
  with policy as materialized (
    select coalesce((select e.base_seconds from keepstream.error_classes e where e.name = 'lease_expired'), 30) as base_seconds
  ), lost as materialized (
    select q.id, q.lease_owner, q.last_event, c.class,
      case when c.class <> 'lease_expired' or q.attempts >= q.max_attempts then moment end as dead_at
    from public.video_queue q cross join lateral (select case
        when q.cancel_requested_at is not null then 'cancelled'
        when not keepstream.archiving_allowed(q.mal_id, q.episode, q.provider) then 'policy_denied'
        else 'lease_expired'
      end as class offset 0) c
    where q.id = any (expired)
  ), moved as (
    update public.video_queue q
    set status = 'failed', applied_status = 'failed', retry_count = q.retry_count + 1, error_class = l.class,
        error_message = keepstream.failure_text(case l.class
          when 'cancelled' then 'cancelled' when 'policy_denied' then keepstream.missing_rights_message() else 'no heartbeat from ' || l.lease_owner end, q.id),
        run_at = moment + make_interval(secs => (1 + 5 * random()) / 6 * p.base_seconds),
        terminal_at = l.dead_at, finished_at = l.dead_at, candidates = case when l.dead_at is null then q.candidates end,
        lease_token = null, lease_owner = null, lease_expires_at = null, cancel_requested_at = null, progress = null, updated_at = moment,
        last_event = nextval('keepstream.events_id_seq')
    from lost l, policy p
    where q.id = l.id
    returning q.*, l.lease_owner as holder, l.last_event as previous
  ), unlisted as (
    delete from keepstream.video_leases v using moved m where v.queue_id = m.id
  ), noted as (
    insert into keepstream.events (id, queue_id, at, kind, to_status, lease_epoch, worker, error_class, detail, previous)
    select m.last_event, m.id, moment, 'rescued', 'failed', m.lease_epoch, m.holder, m.error_class,
      jsonb_build_object('error', m.error_message, 'attempt', m.attempts, 'terminal', m.terminal_at is not null), m.previous
    from moved m
  )
  select count(*) into rescued from moved;

  with expired as materialized (
    select r.id from public.video_replicas r
    where r.lease_token is not null and r.lease_expires_at <= moment
    order by r.id limit 1000 for update skip locked
  )
  update public.video_replicas r
  set state = case when r.missing_since is null then 'failed' else 'missing' end, error_class = 'lease_expired',
      error_message = 'no heartbeat from ' || r.lease_owner,
      lease_token = null, lease_owner = null, lease_expires_at = null,
      run_at = moment + make_interval(secs => 5 + 25 * random()), updated_at = moment
  from expired where r.id = expired.id;
  get diagnostics copies = row_count;

  -- The rest is best effort: its failure, waiting or timeout must not undo the rescues.
  begin
    pruned := keepstream.clean_up(moment);
  exception when query_canceled or assert_failure or others then
    failure := left(keepstream.redact(sqlerrm), 500);
    raise warning 'keepstream: the sweep could not clean up: %', failure;
    pruned := 0;
  end;
  begin
    perform keepstream.record_notification_response();
  exception when query_canceled or assert_failure or others then
    null; -- keepstream.last_notification reports that it cannot be read
  end;
  begin
    perform keepstream.schedule_jobs();
  exception when query_canceled or assert_failure or others then
    failure := coalesce(failure, left('pg_cron: ' || keepstream.redact(sqlerrm), 500));
    raise warning 'keepstream: the sweep could not schedule itself with pg_cron: %', keepstream.redact(sqlerrm);
  end;
  begin
    perform keepstream.record_sweep(moment, failure);
  exception when query_canceled or assert_failure or others then
    raise warning 'keepstream: the sweep could not be recorded: %', keepstream.redact(sqlerrm);
  end;

  due := exists (
    select from public.video_queue q
    where q.finished_at is null and q.run_at <= moment and q.lease_token is null and q.attempts < q.max_attempts
  ) or exists (
    select from public.video_replicas r
    where r.state in ('pending', 'failed', 'missing') and r.run_at <= moment and r.attempts < r.max_attempts
  );
  if due then
    perform keepstream.notify_runner(force := true);
  end if;
  return jsonb_build_object('rescued', rescued, 'replicas_rescued', copies, 'events_pruned', pruned, 'notified', due);
end
$$;
comment on function public.sweep() is
  'Rescues expired leases, repeats the notification while jobs are due, deletes rows past their retention and '
  'schedules itself with pg_cron. Safe to call at any time and concurrently.';

-- Runners call this, so that leases are rescued without pg_cron, too.
create function public.sweep_if_overdue(seconds int default 60) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  lock_key constant bigint := 5531467712004902;
  overdue constant interval := make_interval(secs => greatest(coalesce(seconds, 60), 1));
begin
  if exists (select from keepstream.event_retention r where r.swept_at > clock_timestamp() - overdue) then
    return null;
  elsif not pg_try_advisory_xact_lock(lock_key) then
    return null;
  elsif exists (select from keepstream.event_retention r where r.swept_at > clock_timestamp() - overdue) then
    return null; -- another caller has swept in the meantime
  end if;
  return public.sweep();
end
$$;
comment on function public.sweep_if_overdue(int) is
  'Calls sweep() if the last one is older than the given seconds and none is running; otherwise returns null.';

select keepstream.schedule_jobs();
