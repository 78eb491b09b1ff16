-- Titles and episodes that must not be archived again.
create table keepstream.takedowns (
  id bigint generated always as identity primary key,
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int,
  created_at timestamptz not null default now(),
  constraint takedowns_one_per_episode unique nulls not distinct (mal_id, episode)
);
comment on table keepstream.takedowns is
  'Titles and episodes that were taken down; without an episode the whole title is.';
alter table keepstream.takedowns enable row level security;

-- Files that a takedown still has to delete. The storage target may be unreachable, or not
-- configured on the machine that runs the command.
create table keepstream.takedown_leftovers (
  id bigint generated always as identity primary key,
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int,
  target keepstream.target_name not null,
  copies jsonb not null default '[]',
  created_at timestamptz not null default now(),
  constraint takedown_leftovers_one_per_target unique nulls not distinct (mal_id, episode, target)
);
comment on table keepstream.takedown_leftovers is
  'Storage targets that may still hold files of a takedown, with the copies that rows named.';
alter table keepstream.takedown_leftovers enable row level security;

-- One advisory lock per title. takedown holds it exclusively; functions that enqueue videos of the
-- title hold it shared and take it before they lock a job.
create function keepstream.title_lock_class() returns int
language sql immutable parallel safe set search_path = ''
as $$ select 1802204019 $$;
comment on function keepstream.title_lock_class() is
  'First key of the advisory lock of a title; the second is its mal_id.';

create function keepstream.lock_title_shared(mal_id int) returns void
language plpgsql set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(keepstream.title_lock_class(), mal_id);
end
$$;
comment on function keepstream.lock_title_shared(int) is
  'Prevents a takedown of the title until the transaction ends; waits for one in progress.';

create function public.list_takedowns() returns jsonb
language sql stable security definer set search_path = ''
as $$
  with newest as (
    select t.mal_id, t.episode from keepstream.takedowns t
    where t.episode is null or not exists (select from keepstream.takedowns o where o.mal_id = t.mal_id and o.episode is null)
    order by t.id desc limit 20000
  )
  select pg_catalog.jsonb_build_object(
    'titles', coalesce(pg_catalog.jsonb_agg(n.mal_id order by n.mal_id) filter (where n.episode is null), '[]'),
    'episodes', coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(n.mal_id, n.episode) order by n.mal_id, n.episode)
      filter (where n.episode is not null), '[]'))
  from newest n
$$;
comment on function public.list_takedowns() is
  'Returns {titles, episodes} that are taken down, at most the newest 20,000 entries: links signed before an older '
  'takedown have expired.';
