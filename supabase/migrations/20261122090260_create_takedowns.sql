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
