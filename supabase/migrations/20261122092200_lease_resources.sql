-- Slots of a named resource, leased across runners: one commit at a time per repository, for
-- example. A slot is a row with an expiry and not a counter, so a killed runner leaks nothing.
create sequence keepstream.resource_epochs;

create table keepstream.resource_leases (
  resource text not null,
  slot int not null,
  holder text not null,
  epoch bigint not null,
  expires_at timestamptz not null,
  primary key (resource, slot),
  constraint resource_name_is_short check (length(resource) between 1 and 300),
  constraint resource_slot_counts check (slot between 1 and 1000)
) with (fillfactor = 50);
comment on table keepstream.resource_leases is 'Leased slots of resources; epoch is the fencing number.';
alter table keepstream.resource_leases enable row level security;

create function public.acquire_resource_lease(resource text, holder text, lease_seconds int default 60, slots int default 1)
returns table (slot int, epoch bigint, expires_at timestamptz)
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
declare
  seconds constant int := least(greatest(coalesce(lease_seconds, 60), 1), 3600);
  moment timestamptz := clock_timestamp();
  candidate int;
begin
  if coalesce(length(acquire_resource_lease.resource), 0) not between 1 and 300 or coalesce(acquire_resource_lease.holder, '') = '' then
    raise exception using errcode = 'PT400', message = 'resource and holder are required';
  end if;
  for candidate in select g.slot from generate_series(1, least(greatest(coalesce(slots, 1), 1), 1000)) as g (slot) loop
    return query
    insert into keepstream.resource_leases as l (resource, slot, holder, epoch, expires_at)
    values (acquire_resource_lease.resource, candidate, left(acquire_resource_lease.holder, 200),
      nextval('keepstream.resource_epochs'), moment + make_interval(secs => seconds))
    on conflict (resource, slot) do update
      set holder = excluded.holder, epoch = excluded.epoch, expires_at = excluded.expires_at
      where l.expires_at <= clock_timestamp()
    returning l.slot, l.epoch, l.expires_at;
    if found then
      return;
    end if;
  end loop;
end
$$;
comment on function public.acquire_resource_lease(text, text, int, int) is
  'Leases a free slot of a resource: one row, or none if all are taken.';

create function public.renew_resource_lease(resource text, slot int, epoch bigint, lease_seconds int default 60) returns timestamptz
language sql security definer set search_path = ''
as $$
  update keepstream.resource_leases l
  set expires_at = greatest(l.expires_at, pg_catalog.clock_timestamp()
    + pg_catalog.make_interval(secs => least(greatest(coalesce(renew_resource_lease.lease_seconds, 60), 1), 3600)))
  where l.resource = renew_resource_lease.resource and l.slot = renew_resource_lease.slot and l.epoch = renew_resource_lease.epoch
    and l.expires_at > pg_catalog.clock_timestamp()
  returning l.expires_at
$$;
comment on function public.renew_resource_lease(text, int, bigint, int) is
  'Extends the lease of a slot; null if it was lost.';

create function public.release_resource_lease(resource text, slot int, epoch bigint) returns boolean
language sql security definer set search_path = ''
as $$
  with released as (
    delete from keepstream.resource_leases l
    where l.resource = release_resource_lease.resource and l.slot = release_resource_lease.slot and l.epoch = release_resource_lease.epoch
    returning 1
  )
  select exists (select from released)
$$;
comment on function public.release_resource_lease(text, int, bigint) is
  'Releases a slot; false if its lease was lost before.';
