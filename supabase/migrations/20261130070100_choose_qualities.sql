-- Which heights of a source are archived: by the provider's entry, otherwise by the setting for all
-- providers.
create domain keepstream.quality_policy as text
  constraint quality_policy_is_known check (value ~ '^(label|all|[1-9][0-9]{1,3}(,[1-9][0-9]{1,3}){0,15})$');
comment on domain keepstream.quality_policy is
  'label: one file per server, of the height that the server states; all: every height that the source offers, too; '
  '720,360: those of these heights, too.';
alter table public.providers add column qualities keepstream.quality_policy;
comment on column public.providers.qualities is 'Overrides keepstream.settings.qualities for this provider.';
alter table keepstream.settings add column qualities keepstream.quality_policy not null default 'label';
comment on column keepstream.settings.qualities is 'For every provider whose entry does not state its own.';

create function public.read_qualities(provider text) returns text
language sql stable security definer set search_path = ''
as $$
  select coalesce((select p.qualities from public.providers p where p.name = read_qualities.provider), s.qualities)::text
  from keepstream.settings s
$$;
comment on function public.read_qualities(text) is 'Which heights of a provider''s sources are archived.';
revoke all on function public.read_qualities(text) from public;
grant execute on function public.read_qualities(text) to service_role;

create or replace function public.apply_providers(entries jsonb, dry_run boolean default true) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  wanted jsonb;
  difference jsonb;
begin
  if entries is null or jsonb_typeof(entries) <> 'array' then
    raise exception using errcode = 'PT400', message = 'entries must be an array';
  elsif exists (
    select from jsonb_array_elements(entries) e where e ->> 'qualities' !~ '^(label|all|[1-9][0-9]{1,3}(,[1-9][0-9]{1,3}){0,15})$'
  ) then
    raise exception using errcode = 'PT400', message = 'qualities must be label, all, or heights such as 720,360';
  end if;
  select jsonb_object_agg(e.value ->> 'name', jsonb_build_object(
    'recipe', e.value ->> 'recipe', 'base_url', e.value ->> 'base_url', 'rights', keepstream.declared_rights(e.value ->> 'rights'),
    'qualities', e.value ->> 'qualities',
    'enabled', coalesce((e.value ->> 'enabled')::boolean, true), 'position', (e.ordinality - 1)::int,
    'config', coalesce(e.value -> 'config', '{}') || (e.value - '{name,recipe,base_url,rights,qualities,enabled,position,config}'::text[])))
  into wanted from jsonb_array_elements(entries) with ordinality as e;
  wanted := coalesce(wanted, '{}');
  if (select count(*) from jsonb_object_keys(wanted)) <> jsonb_array_length(entries) then
    raise exception using errcode = 'PT400', message = 'two entries have the same name';
  end if;
  if dry_run is false then
    lock table public.providers in share row exclusive mode; -- two lists may each leave out the other's entry
  end if;

  with present as (
    select p.name::text as name, jsonb_build_object('recipe', p.recipe, 'base_url', p.base_url, 'rights', p.rights,
      'qualities', p.qualities, 'enabled', p.enabled, 'position', p.position, 'config', p.config) as entry
    from public.providers p
  ), compared as (
    select coalesce(w.key, p.name) as name,
      case when p.name is null then 'added' when w.key is null then 'removed' when p.entry = w.value then 'unchanged' else 'changed' end as change
    from jsonb_each(wanted) as w full join present p on p.name = w.key
  )
  select jsonb_build_object(
    'added', coalesce(jsonb_agg(c.name order by c.name) filter (where c.change = 'added'), '[]'),
    'changed', coalesce(jsonb_agg(c.name order by c.name) filter (where c.change = 'changed'), '[]'),
    'removed', coalesce(jsonb_agg(c.name order by c.name) filter (where c.change = 'removed'), '[]'),
    'unchanged', coalesce(jsonb_agg(c.name order by c.name) filter (where c.change = 'unchanged'), '[]'),
    'dry_run', dry_run is not false)
  into difference from compared c;
  if dry_run is not false then
    return difference;
  end if;

  delete from public.providers p where not wanted ? p.name;
  insert into public.providers (name, recipe, base_url, rights, qualities, config, enabled, position)
  select w.key, w.value ->> 'recipe', w.value ->> 'base_url', w.value ->> 'rights', w.value ->> 'qualities', w.value -> 'config',
    (w.value ->> 'enabled')::boolean, (w.value ->> 'position')::int
  from jsonb_each(wanted) as w
  on conflict (name) do update
    set recipe = excluded.recipe, base_url = excluded.base_url, rights = excluded.rights, qualities = excluded.qualities,
        config = excluded.config, enabled = excluded.enabled, position = excluded.position, updated_at = clock_timestamp();
  perform keepstream.end_jobs_without_rights();
  return difference;
end
$$;
