-- Source lists of providers: the cache, who reads them, and a circuit breaker per provider.

-- Cached source lists, shared by all isolates.
create table keepstream.source_lists (
  mal_id keepstream.positive_int not null,
  episode keepstream.positive_int not null,
  provider keepstream.provider_name not null,
  state text not null,
  code text,
  servers jsonb not null default '[]',
  fetched_at timestamptz not null default now(),
  failures keepstream.counter not null default 0,
  due_seconds int not null default 1200,
  primary key (mal_id, episode, provider),
  constraint source_lists_servers_are_a_list check (jsonb_typeof(servers) = 'array' and octet_length(servers::text) <= 1048576),
  constraint source_lists_urls_are_http check (keepstream.urls_are_http(servers))
) with (fillfactor = 80);
comment on table keepstream.source_lists is
  'The servers that a provider lists for an episode, or the error code of the last read.';
comment on column keepstream.source_lists.failures is 'Consecutive reads without servers.';
comment on column keepstream.source_lists.due_seconds is
  'Seconds after fetched_at when the provider is due to be read again.';
create index source_lists_age on keepstream.source_lists (fetched_at);
alter table keepstream.source_lists enable row level security;

-- Isolates coordinate their reads here, so that a provider's page is read once and a failing
-- provider is read less and less often, whichever episode is requested.
create unlogged table keepstream.source_reads (
  provider keepstream.provider_name not null,
  mal_id int not null,
  episode int not null,
  until timestamptz not null,
  primary key (provider, mal_id, episode)
) with (fillfactor = 50);
comment on table keepstream.source_reads is
  'Source reads in progress; 0, 0 is the single read of a provider whose circuit is open. Unlogged: losing it costs '
  'a repeated read.';
create index source_reads_age on keepstream.source_reads (until);
alter table keepstream.source_reads enable row level security;

create unlogged table keepstream.provider_health (
  provider keepstream.provider_name primary key,
  code text not null,
  failures keepstream.counter not null,
  failed_at timestamptz not null,
  due_at timestamptz not null
) with (fillfactor = 50);
comment on table keepstream.provider_health is
  'Circuit breaker per provider: open from the third consecutive failure, closed by the next response of its site.';
alter table keepstream.provider_health enable row level security;

create function keepstream.back_off_seconds(base_seconds int, failures int, at_least int default null) returns int
language sql volatile set search_path = ''
as $$
  select greatest(least(coalesce(at_least, 0), 3600),
    least(900, base_seconds * 2 ^ least(greatest(failures, 1) - 1, 20)) * (0.5 + 0.5 * pg_catalog.random()))::int
$$;
comment on function keepstream.back_off_seconds(int, int, int) is
  'min(15 min, base·2^(failures-1))·U(0.5, 1), or at least what the site''s Retry-After asks for, up to an hour.';

create function keepstream.due_source_reads(mal_id int, episode int, refresh boolean) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  moment timestamptz := clock_timestamp();
begin
  return (
    select jsonb_object_agg(p.name, t.provider is not null)
    from public.providers p
    left join keepstream.source_lists l
      on l.mal_id = due_source_reads.mal_id and l.episode = due_source_reads.episode and l.provider = p.name
    left join keepstream.provider_health t on t.provider = p.name and t.failures >= 3
    where p.enabled and (t.provider is null or t.due_at <= moment)
      and (l.provider is null or l.fetched_at + make_interval(secs => l.due_seconds) <= moment
        or (refresh and l.state = 'ok' and l.fetched_at <= moment - interval '1 minute')));
end
$$;
comment on function keepstream.due_source_reads(int, int, boolean) is
  '{"<provider>": whether its circuit is open} for providers that are due; null if none is. With an open circuit, '
  'one read serves all episodes.';

create function keepstream.claim_source_reads(mal_id int, episode int, reader_seconds int, refresh boolean) returns jsonb
language plpgsql volatile set search_path = '' set plan_cache_mode = force_generic_plan
as $$
declare
  due jsonb := keepstream.due_source_reads(mal_id, episode, refresh);
  claimed text[];
begin
  if due is null then
    return '{}';
  end if;
  with claims as (
    insert into keepstream.source_reads as r (provider, mal_id, episode, until)
    select d.key, case when d.value = 'true' then 0 else claim_source_reads.mal_id end,
      case when d.value = 'true' then 0 else claim_source_reads.episode end, clock_timestamp() + make_interval(secs => reader_seconds)
    from jsonb_each(due) d order by d.key
    on conflict on constraint source_reads_pkey do update set until = excluded.until where r.until <= clock_timestamp()
    returning r.provider
  )
  select array_agg(c.provider) into claimed from claims c;
  -- Check again: another reader may have saved its list between the two statements.
  due := keepstream.due_source_reads(mal_id, episode, refresh);
  return (select coalesce(jsonb_object_agg(d.key, coalesce(d.key = any (claimed), false)), '{}') from jsonb_each(due) d);
end
$$;
comment on function keepstream.claim_source_reads(int, int, int, boolean) is
  '{"<provider>": true} if this caller has to read it, false if another one is reading it; providers that are not '
  'due are left out.';

-- Best-effort step: claims that another transaction has locked are extended the next time.
create function public.renew_source_reads(mal_id int, episode int, providers text[], reader_seconds int) returns int
language plpgsql security definer set search_path = ''
as $$
declare
  renewed int;
begin
  update keepstream.source_reads r
  set until = greatest(r.until, clock_timestamp() + make_interval(secs => least(reader_seconds, 60)))
  where (r.provider, r.mal_id, r.episode) in (
    select o.provider, o.mal_id, o.episode from keepstream.source_reads o
    where o.provider = any (providers) and (o.mal_id, o.episode) in ((renew_source_reads.mal_id, renew_source_reads.episode), (0, 0))
    for update skip locked);
  get diagnostics renewed = row_count;
  return renewed;
end
$$;
comment on function public.renew_source_reads(int, int, text[], int) is
  'Extends the claims of reads in progress; never shortens or creates one, and waits for no lock. Returns how many.';

create function keepstream.end_source_reads(mal_id int, episode int, lists jsonb) returns void
language plpgsql set search_path = ''
as $$
declare
  list record;
begin
  -- In the order in which they are claimed, so that two transactions cannot deadlock.
  perform from keepstream.source_reads r
  where r.provider in (select jsonb_object_keys(lists)) and (r.mal_id, r.episode) in ((end_source_reads.mal_id, end_source_reads.episode), (0, 0))
  order by r.provider, r.mal_id for update;
  delete from keepstream.source_reads r
  where r.provider in (select jsonb_object_keys(lists)) and (r.mal_id, r.episode) in ((end_source_reads.mal_id, end_source_reads.episode), (0, 0));

  for list in select l.key as provider, l.value ->> 'state' as state, l.value ->> 'code' as code from jsonb_each(lists) l order by l.key loop
    if list.state = 'ok' or list.code in ('empty', 'http_4xx') then -- the site responded
      delete from keepstream.provider_health t where t.provider = list.provider;
    elsif list.code in ('timeout', 'network', 'http_5xx', 'blocked') then
      insert into keepstream.provider_health as t (provider, code, failures, failed_at, due_at)
      values (list.provider, list.code, 1, clock_timestamp(), clock_timestamp())
      on conflict on constraint provider_health_pkey do update
        set code = excluded.code, failures = least(t.failures + 1, 30), failed_at = excluded.failed_at,
            due_at = clock_timestamp() + make_interval(secs => keepstream.back_off_seconds(30, t.failures - 1));
    end if;
  end loop;
end
$$;
comment on function keepstream.end_source_reads(int, int, jsonb) is
  'Ends the claims and counts consecutive failures per site; any response of the site resets its count.';

-- An operator's change takes effect with the next request, whatever is cached.
create function keepstream.invalidate_source_lists() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  -- Lists that are being saved are skipped: the save could as well have committed right after this.
  -- Waiting could deadlock with a save of several lists.
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
comment on function keepstream.invalidate_source_lists() is
  'Deletes source lists that were read with the changed provider, mapping or catalogue row.';
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
