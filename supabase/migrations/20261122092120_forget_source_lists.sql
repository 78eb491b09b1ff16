-- What an operator changes holds from the next request on, however long a list or a failure would have been kept.
create function keepstream.forget_source_lists() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  case tg_table_name
    when 'providers' then
      delete from keepstream.source_lists l where l.provider = old.name;
      delete from keepstream.provider_trouble t where t.provider = old.name;
    when 'title_mappings' then
      delete from keepstream.source_lists l
      where l.mal_id = coalesce(new.mal_id, old.mal_id) and l.provider = coalesce(new.provider, old.provider);
    when 'catalogue' then
      delete from keepstream.source_lists l using public.providers p
      where l.mal_id = coalesce(new.mal_id, old.mal_id) and l.episode = coalesce(new.episode, old.episode)
        and l.provider = p.name and p.recipe = 'catalogue';
  end case;
  return null;
end
$$;
comment on function keepstream.forget_source_lists() is 'Drops what was read by the entry, mapping or catalogue row that changed.';

create trigger forget_lists_of_provider after delete on public.providers
  for each row execute function keepstream.forget_source_lists();
create trigger forget_lists_of_changed_provider after update on public.providers
  for each row when ((old.recipe, old.base_url, old.rights, old.config, old.enabled) is distinct from
    (new.recipe, new.base_url, new.rights, new.config, new.enabled))
  execute function keepstream.forget_source_lists();
create trigger forget_lists_of_title after insert or update on public.title_mappings
  for each row when (new.by_operator) execute function keepstream.forget_source_lists();
create trigger forget_lists_of_unmapped_title after delete on public.title_mappings
  for each row when (old.by_operator) execute function keepstream.forget_source_lists();
create trigger forget_lists_of_catalogue after insert or update or delete on public.catalogue
  for each row execute function keepstream.forget_source_lists();
