-- What happened, append-only. Folding to_status over a job's events gives its present status.
create table keepstream.events (
  id bigint generated always as identity primary key,
  queue_id uuid,
  at timestamptz not null default clock_timestamp(),
  kind keepstream.event_kind not null,
  to_status text,
  lease_epoch int,
  worker text,
  error_class text,
  detail jsonb
);
comment on table keepstream.events is 'Append-only history of every job; queue_id outlives the job on purpose. Without one: what was done to a title, kept for ever.';
create index events_of_a_job on keepstream.events (queue_id, id);
alter table keepstream.events enable row level security;

create function keepstream.refuse_event_update() returns trigger
language plpgsql set search_path = ''
as $$
begin
  raise exception using errcode = 'PT422', message = 'events are append-only';
end
$$;
create trigger events_are_append_only before update on keepstream.events
  for each statement execute function keepstream.refuse_event_update();

create table keepstream.event_retention (
  singleton boolean primary key default true,
  pruned_through bigint not null default 0,
  constraint event_retention_has_one_row check (singleton)
);
comment on table keepstream.event_retention is 'How far the sweep has looked for events to drop.';
alter table keepstream.event_retention enable row level security;
insert into keepstream.event_retention default values;
