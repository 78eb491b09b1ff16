-- Identifies the account, bucket or disk behind a target's name by the id in its
-- `.keepstream-target` file, so that an empty mount point or another disk is not mistaken for the
-- recorded one.
create table keepstream.storage_targets (
  target keepstream.target_name primary key,
  id uuid not null,
  registered_at timestamptz not null default now()
);
comment on table keepstream.storage_targets is 'The id of each storage target.';
alter table keepstream.storage_targets enable row level security;

create function public.check_storage_target(target text, id uuid default null) returns text
language plpgsql stable security definer set search_path = ''
as $$
declare
  known uuid;
begin
  select t.id into known from keepstream.storage_targets t where t.target = check_storage_target.target;
  if known = check_storage_target.id then
    return 'known';
  elsif not exists (
    select from public.video_replicas r
    where r.target = check_storage_target.target and (r.state = 'verified' or r.missing_since is not null)
  ) and not exists (
    select from keepstream.takedown_leftovers l where l.target = check_storage_target.target and l.copies <> '[]'
  ) then
    return 'new';
  end if;
  return case when check_storage_target.id is null then 'gone' when known is null then 'unregistered' else 'other' end;
end
$$;
comment on function public.check_storage_target(text, uuid) is
  'Compares the id found on a target (null: none) with the recorded one: known, gone, other, unregistered (it has '
  'copies but no recorded id), or new (no copies).';

create function public.register_storage_target(target text, id uuid, replace boolean default false) returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  known uuid;
begin
  insert into keepstream.storage_targets as t (target, id) values (register_storage_target.target, register_storage_target.id)
  on conflict on constraint storage_targets_pkey do update
    set id = case when register_storage_target.replace then excluded.id else t.id end,
        registered_at = case when register_storage_target.replace then excluded.registered_at else t.registered_at end
  returning t.id into known;
  return known;
end
$$;
comment on function public.register_storage_target(text, uuid, boolean) is
  'Records a target''s id and returns the recorded one: the first, unless replace is set.';
