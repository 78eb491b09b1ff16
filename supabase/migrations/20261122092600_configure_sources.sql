-- Replaces the provider list, and imports episodes into the catalogue.

-- Applies archiving_allowed to all waiting jobs in one statement.
create function keepstream.end_jobs_without_rights() returns void
language plpgsql security definer set search_path = ''
as $$
declare
  denied uuid[];
begin
  denied := array(
    select q.id from public.video_queue q
    left join public.providers p on p.name = q.provider and p.enabled
    left join public.catalogue c on p.recipe = 'catalogue' and c.mal_id = q.mal_id and c.episode = q.episode
    where q.finished_at is null and q.lease_token is null
      and keepstream.declared_rights(case when p.recipe = 'catalogue' then c.rights else p.rights end) is null
    limit 5000 for update of q skip locked);
  update public.video_queue q
  set status = 'failed', error_class = 'policy_denied', error_message = keepstream.missing_rights_message(),
      terminal_at = clock_timestamp(), finished_at = clock_timestamp(), candidates = null
  where q.id = any (denied);
end
$$;
comment on function keepstream.end_jobs_without_rights() is
  'Makes waiting jobs without archiving rights dead letters: up to 5000 per call, skipping locked rows. The next '
  'sweeps end the rest.';

create function public.apply_providers(entries jsonb, dry_run boolean default true) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  wanted jsonb;
  difference jsonb;
begin
  if entries is null or jsonb_typeof(entries) <> 'array' then
    raise exception using errcode = 'PT400', message = 'entries must be an array';
  end if;
  select jsonb_object_agg(e.value ->> 'name', jsonb_build_object(
    'recipe', e.value ->> 'recipe', 'base_url', e.value ->> 'base_url', 'rights', keepstream.declared_rights(e.value ->> 'rights'),
    'enabled', coalesce((e.value ->> 'enabled')::boolean, true), 'position', (e.ordinality - 1)::int,
    'config', coalesce(e.value -> 'config', '{}') || (e.value - '{name,recipe,base_url,rights,enabled,position,config}'::text[])))
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
      'enabled', p.enabled, 'position', p.position, 'config', p.config) as entry
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
  insert into public.providers (name, recipe, base_url, rights, config, enabled, position)
  select w.key, w.value ->> 'recipe', w.value ->> 'base_url', w.value ->> 'rights', w.value -> 'config',
    (w.value ->> 'enabled')::boolean, (w.value ->> 'position')::int
  from jsonb_each(wanted) as w
  on conflict (name) do update
    set recipe = excluded.recipe, base_url = excluded.base_url, rights = excluded.rights, config = excluded.config,
        enabled = excluded.enabled, position = excluded.position, updated_at = clock_timestamp();
  perform keepstream.end_jobs_without_rights();
  return difference;
end
$$;
comment on function public.apply_providers(jsonb, boolean) is
  'Replaces the provider list by entries, in their order; returns {added, changed, removed, unchanged}. A dry run '
  'changes nothing.';

create function public.import_catalogue(entries jsonb, dry_run boolean default true) returns jsonb
language plpgsql security definer set search_path = ''
as $$
declare
  difference jsonb;
begin
  if entries is null or jsonb_typeof(entries) <> 'array' then
    raise exception using errcode = 'PT400', message = 'entries must be an array';
  end if;
  with wanted as (
    select distinct on (e.mal_id, e.episode) e.mal_id, e.episode, e.title, coalesce(e.sources, '[]') as sources, keepstream.declared_rights(e.rights) as rights
    from rows from (jsonb_to_recordset(entries) as (mal_id int, episode int, title text, sources jsonb, rights text)) with ordinality
      as e (mal_id, episode, title, sources, rights, place)
    order by e.mal_id, e.episode, e.place desc
  )
  select jsonb_build_object(
    'added', count(*) filter (where c.mal_id is null),
    'changed', count(*) filter (where (c.title, c.sources, c.rights) is distinct from (w.title, w.sources, w.rights) and c.mal_id is not null),
    'unchanged', count(*) filter (where (c.title, c.sources, c.rights) is not distinct from (w.title, w.sources, w.rights) and c.mal_id is not null),
    'dry_run', dry_run is not false)
  into difference
  from wanted w left join public.catalogue c on c.mal_id = w.mal_id and c.episode = w.episode;
  if dry_run is not false then
    return difference;
  end if;

  insert into public.catalogue as c (mal_id, episode, title, sources, rights)
  select distinct on (e.mal_id, e.episode) e.mal_id, e.episode, e.title, coalesce(e.sources, '[]'), keepstream.declared_rights(e.rights)
  from rows from (jsonb_to_recordset(entries) as (mal_id int, episode int, title text, sources jsonb, rights text)) with ordinality
    as e (mal_id, episode, title, sources, rights, place)
  order by e.mal_id, e.episode, e.place desc
  on conflict (mal_id, episode) do update
    set title = excluded.title, sources = excluded.sources, rights = excluded.rights, updated_at = clock_timestamp()
    where (c.title, c.sources, c.rights) is distinct from (excluded.title, excluded.sources, excluded.rights);
  perform keepstream.end_jobs_without_rights();
  return difference;
end
$$;
comment on function public.import_catalogue(jsonb, boolean) is
  'Adds or changes catalogue entries and removes none; returns {added, changed, unchanged}. A dry run changes '
  'nothing.';
