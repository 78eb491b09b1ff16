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

-- One lock per title: a takedown holds it alone, whoever asks for a video of the title shares it, before it
-- touches a job of the title.
create function keepstream.takedown_locks() returns int
language sql immutable parallel safe set search_path = ''
as $$ select 1802204019 $$;
comment on function keepstream.takedown_locks() is 'The class of the advisory locks that takedown takes, by mal_id.';

create function keepstream.hold_off_takedown(mal_id int) returns void
language plpgsql set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock_shared(keepstream.takedown_locks(), mal_id);
end
$$;
comment on function keepstream.hold_off_takedown(int) is 'Until the transaction ends, no takedown of the title begins; waits for one under way.';
