-- Counts ready jobs and archives without reading millions of rows: each change inserts a delta, and
-- the sum is the count. Two transactions that updated one counter row would wait for each other;
-- inserts do not, and every snapshot sums exactly the rows that it sees. The sweep merges the
-- deltas.
create table keepstream.count_deltas (
  id bigint generated always as identity primary key,
  counted text not null,
  delta bigint not null,
  constraint count_deltas_are_of_something_known check (counted in ('ready', 'archived'))
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table keepstream.count_deltas is
  'The sum of delta per counted is the number of ready jobs, and of rows in video_store.';
alter table keepstream.count_deltas enable row level security;

create function keepstream.record_count() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into keepstream.count_deltas (counted, delta) values (tg_argv[0], tg_argv[1]::int);
  return null;
end
$$;
create trigger video_queue_counts_ready after update of status on public.video_queue
  for each row when (old.status <> 'ready' and new.status = 'ready') execute function keepstream.record_count('ready', '1');
create trigger video_queue_counts_not_ready after update of status on public.video_queue
  for each row when (old.status = 'ready' and new.status <> 'ready') execute function keepstream.record_count('ready', '-1');
create trigger video_queue_counts_deleted after delete on public.video_queue
  for each row when (old.status = 'ready') execute function keepstream.record_count('ready', '-1');
create trigger video_store_counts_inserted after insert on public.video_store
  for each row execute function keepstream.record_count('archived', '1');
create trigger video_store_counts_deleted after delete on public.video_store
  for each row execute function keepstream.record_count('archived', '-1');

create function keepstream.reset_counts() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  delete from keepstream.count_deltas d where d.counted = tg_argv[0];
  return null;
end
$$;
create trigger video_queue_counts_truncated after truncate on public.video_queue
  for each statement execute function keepstream.reset_counts('ready');
create trigger video_store_counts_truncated after truncate on public.video_store
  for each statement execute function keepstream.reset_counts('archived');

create function keepstream.add_up_counts(batch int) returns void
language sql security definer set search_path = ''
as $$
  with added as (
    delete from keepstream.count_deltas d
    where d.ctid in (select o.ctid from keepstream.count_deltas o limit batch for update skip locked)
      and (select count(*) from (select from keepstream.count_deltas limit 100) few) = 100
    returning d.counted, d.delta
  )
  insert into keepstream.count_deltas (counted, delta)
  select a.counted, sum(a.delta) from added a group by a.counted having sum(a.delta) <> 0
$$;
comment on function keepstream.add_up_counts(int) is 'Merges the deltas once there are at least a hundred.';

create function public.archive_totals(out ready bigint, out archived bigint)
language sql stable security definer set search_path = ''
as $$
  select coalesce(sum(d.delta) filter (where d.counted = 'ready'), 0), coalesce(sum(d.delta) filter (where d.counted = 'archived'), 0)
  from keepstream.count_deltas d
$$;
comment on function public.archive_totals() is 'The number of ready jobs and of rows in video_store.';
