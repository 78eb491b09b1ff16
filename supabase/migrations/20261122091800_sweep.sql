-- Which jobs are leased: those of the claims since the oldest lease. An index or a list of them would have every claim and
-- every end of a lease write it; here the sweep alone moves a mark along the events.
create table keepstream.lease_watch (
  singleton boolean primary key default true,
  from_event bigint not null default 0,
  next_event bigint not null default 0,
  next_xmax xid8 not null default '0',
  constraint lease_watch_has_one_row check (singleton)
);
comment on table keepstream.lease_watch is 'No lease was claimed before from_event. It moves to next_event once every transaction below next_xmax has ended, so that none can appear behind it.';
alter table keepstream.lease_watch enable row level security;
insert into keepstream.lease_watch default values;

create function public.leased_videos()
returns table (id uuid, status text, lease_owner text, lease_expires_at timestamptz, run_at timestamptz, claimed_by_event bigint)
language sql stable security definer set search_path = '' set enable_seqscan = off set enable_bitmapscan = off
as $$
  -- Said in this order, and held to it: the few claims behind the mark, then the job of each by its key.
  with claims as materialized (
    select e.id, e.queue_id, e.lease_epoch from keepstream.events e
    where e.id >= (select w.from_event from keepstream.lease_watch w) and e.kind = 'claimed'
  )
  select q.id, q.status::text, q.lease_owner, q.lease_expires_at, q.run_at, c.id
  from claims c
  cross join lateral (select j.* from public.video_queue j where j.id = c.queue_id offset 0) q
  where q.lease_epoch = c.lease_epoch and q.lease_token is not null
$$;
comment on function public.leased_videos() is 'The jobs that are leased, by whom, and until when.';

create function keepstream.move_lease_watch() returns void
language plpgsql security definer set search_path = ''
as $$
declare
  watch keepstream.lease_watch;
  reached bigint;
begin
  select * into watch from keepstream.lease_watch w for update skip locked;
  if not found or pg_snapshot_xmin(pg_current_snapshot()) < watch.next_xmax then
    return;
  end if;
  -- First the number, then the transactions: whoever drew a lower number had begun by then.
  select s.last_value + s.is_called::int into reached from keepstream.events_id_seq s;
  update keepstream.lease_watch w
  set from_event = least(watch.next_event, (select min(l.claimed_by_event) from public.leased_videos() l)),
      next_event = reached, next_xmax = pg_snapshot_xmax(pg_current_snapshot())
  where w.singleton;
end
$$;

-- What time alone brings about: leases run out, wakes get lost, history grows old.
create function public.sweep() returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  moment timestamptz := clock_timestamp();
  reaped int;
  copies int;
  pruned int := 0;
  upto bigint;
  due boolean;
begin
  with expired as materialized (
    select q.id from public.video_queue q
    where q.id in (select l.id from public.leased_videos() l where l.lease_expires_at <= moment)
      and q.lease_token is not null and q.lease_expires_at <= moment
    order by q.id limit 1000 for update skip locked
  )
  update public.video_queue q
  set status = 'failed',
      error_class = case when q.cancel_requested_at is null then 'lease_expired' else 'cancelled' end,
      error_message = case when q.cancel_requested_at is null then 'no heartbeat from ' || q.lease_owner else 'cancelled' end,
      terminal_at = case when q.cancel_requested_at is not null then moment end,
      run_at = moment + make_interval(secs => (
        select e.base_seconds * (1 + 5 * random()) / 6 from keepstream.error_classes e where e.name = 'lease_expired'))
  from expired where q.id = expired.id;
  get diagnostics reaped = row_count;
  perform keepstream.move_lease_watch();

  with expired as materialized (
    select r.id from public.video_replicas r
    where r.lease_token is not null and r.lease_expires_at <= moment
    order by r.id limit 1000 for update skip locked
  )
  update public.video_replicas r
  set state = 'failed', error_class = 'lease_expired', error_message = 'no heartbeat from ' || r.lease_owner,
      lease_token = null, lease_owner = null, lease_expires_at = null,
      run_at = moment + make_interval(secs => 5 + 25 * random()), updated_at = moment
  from expired where r.id = expired.id;
  get diagnostics copies = row_count;

  delete from keepstream.resource_leases l where l.expires_at < moment - interval '1 hour';
  pruned := keepstream.prune_events(1000);
  perform keepstream.prune_caches(1000);

  due := exists (
    select from public.video_queue q
    where q.finished_at is null and q.run_at <= moment and q.lease_token is null
  ) or exists (
    select from public.video_replicas r
    where r.state in ('pending', 'failed', 'missing') and r.run_at <= moment and r.attempts < r.max_attempts
  );
  if due then
    perform keepstream.request_wake(force := true);
  end if;
  return jsonb_build_object('reaped', reaped, 'replicas_reaped', copies, 'events_pruned', pruned, 'woken', due);
end
$$;
comment on function public.sweep() is 'Reaps dead leases, repeats the wake while work is due, drops what is older than its retention. Safe to run at any time, twice at once.';

-- Keeps a job's last move, so that its history still folds to its status, and every takedown.
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

select cron.schedule('keepstream-sweep', '30 seconds', 'select public.sweep()');
-- pg_cron keeps a row per run for ever; a sweep every 30 s makes a million of them a year.
select cron.schedule('keepstream-cron-history', '17 3 * * *',
  $$delete from cron.job_run_details where end_time < now() - interval '3 days'$$);
