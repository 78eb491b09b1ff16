-- What must not be archived again, however often a viewer asks for it.
create table keepstream.takedowns (
  id bigint generated always as identity primary key,
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int,
  created_at timestamptz not null default now(),
  constraint takedowns_one_per_episode unique nulls not distinct (mal_id, episode)
);
comment on table keepstream.takedowns is 'Titles, or episodes of them, that were taken down; no episode means all.';
alter table keepstream.takedowns enable row level security;

-- Bytes that a takedown has to remove, until they are: a target may be out of reach, or not configured where it is run.
create table keepstream.takedown_leftovers (
  id bigint generated always as identity primary key,
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int,
  target keepstream.target_name not null,
  copies jsonb not null default '[]',
  created_at timestamptz not null default now(),
  constraint takedown_leftovers_one_per_target unique nulls not distinct (mal_id, episode, target)
);
comment on table keepstream.takedown_leftovers is 'Targets that may still hold bytes of what was taken down, with the addresses that rows named.';
alter table keepstream.takedown_leftovers enable row level security;

-- One lock per title: a takedown holds it alone, whoever asks for a video of the title shares it, before it
-- touches a job of the title.
create function keepstream.title_lock_class() returns int
language sql immutable parallel safe set search_path = ''
as $$ select 1802204019 $$;
comment on function keepstream.title_lock_class() is 'The class of the advisory locks that takedown takes, by mal_id.';

create function keepstream.lock_title_shared(mal_id int) returns void
language plpgsql set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(keepstream.title_lock_class(), mal_id);
end
$$;
comment on function keepstream.lock_title_shared(int) is 'Until the transaction ends, no takedown of the title begins; waits for one under way.';

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
  '{titles, episodes}: what is taken down, the newest 20,000 entries. An older one needs no list: links signed before it have expired.';
