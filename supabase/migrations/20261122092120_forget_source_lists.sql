-- What an operator changes holds from the next request on, however long a list or a failure would have been kept.
create function keepstream.invalidate_source_lists() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  -- None waits for a list that is being saved at this moment, which its reader might as well have saved right after this: who
  -- saves several would wait for the other one.
  case tg_table_name
    when 'providers' then
      delete from keepstream.source_lists l where (l.mal_id, l.episode, l.provider) in (
        select o.mal_id, o.episode, o.provider from keepstream.source_lists o where o.provider = old.name for update skip locked);
      delete from keepstream.provider_health t where t.provider in (
        select o.provider from keepstream.provider_health o where o.provider = old.name for update skip locked);
    when 'title_mappings' then
      delete from keepstream.source_lists l where (l.mal_id, l.episode, l.provider) in (
        select o.mal_id, o.episode, o.provider from keepstream.source_lists o
        where o.mal_id = coalesce(new.mal_id, old.mal_id) and o.provider = coalesce(new.provider, old.provider) for update skip locked);
    when 'catalogue' then
      delete from keepstream.source_lists l where (l.mal_id, l.episode, l.provider) in (
        select o.mal_id, o.episode, o.provider from keepstream.source_lists o
        where o.mal_id = coalesce(new.mal_id, old.mal_id) and o.episode = coalesce(new.episode, old.episode)
          and o.provider in (select p.name from public.providers p where p.recipe = 'catalogue') for update of o skip locked);
  end case;
  return null;
end
$$;
comment on function keepstream.invalidate_source_lists() is 'Drops what was read by the entry, mapping or catalogue row that changed.';

create trigger providers_invalidate_lists_on_delete after delete on public.providers
  for each row execute function keepstream.invalidate_source_lists();
create trigger providers_invalidate_lists_on_update after update on public.providers
  for each row when ((old.recipe, old.base_url, old.rights, old.config, old.enabled) is distinct from
    (new.recipe, new.base_url, new.rights, new.config, new.enabled))
  execute function keepstream.invalidate_source_lists();
create trigger title_mappings_invalidate_lists after insert or update on public.title_mappings
  for each row when (new.by_operator) execute function keepstream.invalidate_source_lists();
create trigger title_mappings_invalidate_lists_on_delete after delete on public.title_mappings
  for each row when (old.by_operator) execute function keepstream.invalidate_source_lists();
create trigger catalogue_invalidates_lists after insert or update or delete on public.catalogue
  for each row execute function keepstream.invalidate_source_lists();
