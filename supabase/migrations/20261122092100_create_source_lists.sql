-- The cache of what providers said, shared by every isolate.
create table keepstream.source_lists (
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int not null,
  provider keepstream.provider_name not null,
  state text not null,
  code text,
  servers jsonb not null default '[]',
  fetched_at timestamptz not null default now(),
  primary key (mal_id, episode, provider),
  constraint source_lists_servers_are_a_list check (jsonb_typeof(servers) = 'array' and octet_length(servers::text) <= 1048576)
) with (fillfactor = 80);
comment on table keepstream.source_lists is 'The servers each provider named for an episode, when, or the code of its failure.';
create index source_lists_age on keepstream.source_lists (fetched_at);
alter table keepstream.source_lists enable row level security;

create function keepstream.prune_caches(batch int) returns void
language sql security definer set search_path = ''
as $$
  delete from keepstream.source_lists l where l.ctid in (
    select o.ctid from keepstream.source_lists o, keepstream.settings s
    where o.fetched_at < pg_catalog.now() - pg_catalog.make_interval(days => s.source_list_retention_days)
    limit batch);
  delete from public.title_mappings m where m.ctid in (
    select o.ctid from public.title_mappings o where o.expires_at < pg_catalog.now() and not o.by_operator limit batch);
  delete from public.metadata_cache m where m.ctid in (
    select o.ctid from public.metadata_cache o where o.expires_at < pg_catalog.now() limit batch);
  delete from keepstream.client_limits c where c.ctid in (
    select o.ctid from keepstream.client_limits o where o.full_at < pg_catalog.now() limit batch);
$$;
