-- What the operator configures: providers, the operator's own episodes, where titles are found, and
-- a metadata cache.
create table public.providers (
  name varchar(20) primary key,
  recipe text not null,
  base_url text,
  rights text,
  config jsonb not null default '{}',
  enabled boolean not null default true,
  position int not null default 0,
  updated_at timestamptz not null default now(),
  constraint providers_name_is_a_slug check (name ~ '^[a-z0-9][a-z0-9_-]{0,19}$'),
  constraint providers_recipe_is_a_word check (recipe ~ '^[a-z0-9][a-z0-9-]{0,39}$'),
  constraint providers_base_url_is_web check (octet_length(base_url) <= 4096 and base_url ~* '^https?://[^\u0001-\u0020\u007f-\u009f]+$'),
  constraint providers_config_is_an_object check (jsonb_typeof(config) = 'object')
);
comment on table public.providers is 'The operator''s provider list. Nothing is archived for an entry without rights.';
comment on column public.providers.rights is
  'Why the operator may keep copies. If null or invisible, videos are streamed but never archived.';
alter table public.providers enable row level security;

-- Viewers are sent these URLs. Values that are not strings are rejected by the functions that read
-- them.
create function keepstream.urls_are_http(list jsonb) returns boolean
language sql immutable parallel safe set search_path = ''
as $$
  select not (
    pg_catalog.jsonb_path_exists(list, '$[*].url ? (@.type() == "string" && !(@ like_regex "^https?://[^[:cntrl:]]+$" flag "i"))')
    or pg_catalog.jsonb_path_exists(list, '$[*].embed_url ? (@.type() == "string" && !(@ like_regex "^https?://[^[:cntrl:]]+$" flag "i"))')
    or pg_catalog.jsonb_path_exists(list, '$[*].video_url ? (@.type() == "string" && !(@ like_regex "^https?://[^[:cntrl:]]+$" flag "i"))')
    or pg_catalog.jsonb_path_exists(list, '$[*].subtitles[*].url ? (@.type() == "string" && !(@ like_regex "^https?://[^[:cntrl:]]+$" flag "i"))'))
$$;
comment on function keepstream.urls_are_http(jsonb) is
  'Whether every URL of a server list and of its subtitles is http(s).';

create table public.catalogue (
  mal_id int not null,
  episode int not null,
  title text,
  sources jsonb not null,
  rights text,
  updated_at timestamptz not null default now(),
  primary key (mal_id, episode),
  constraint catalogue_mal_id_is_positive check (mal_id > 0),
  constraint catalogue_episode_is_positive check (episode > 0),
  constraint catalogue_sources_are_a_list check (jsonb_typeof(sources) = 'array'),
  constraint catalogue_urls_are_http check (keepstream.urls_are_http(sources))
);
comment on table public.catalogue is
  'The operator''s own episodes; sources is a list of {url, resolution, kind, label, subtitles}.';
alter table public.catalogue enable row level security;

create table public.title_mappings (
  mal_id int not null,
  provider varchar(20) not null,
  mapping jsonb not null,
  by_operator boolean not null default false,
  expires_at timestamptz,
  updated_at timestamptz not null default now(),
  primary key (mal_id, provider),
  constraint title_mappings_mal_id_is_positive check (mal_id > 0),
  constraint title_mappings_provider_is_a_slug check (provider ~ '^[a-z0-9][a-z0-9_-]{0,19}$'),
  constraint title_mappings_are_objects check (jsonb_typeof(mapping) = 'object' and octet_length(mapping::text) <= 16384)
);
comment on table public.title_mappings is
  'Which page of a provider a title is on, found by search or set by the operator; {} with expires_at means not '
  'found.';
alter table public.title_mappings enable row level security;

create table public.metadata_cache (
  key text primary key,
  value jsonb not null,
  expires_at timestamptz not null,
  constraint metadata_cache_key_is_short check (length(key) between 1 and 500)
);
comment on table public.metadata_cache is 'Responses of the metadata service, kept until they expire.';
create index metadata_cache_expiry on public.metadata_cache (expires_at);
alter table public.metadata_cache enable row level security;

create function public.save_title_mapping(
  mal_id int, provider text, mapping jsonb, ttl_seconds int default null, by_operator boolean default false
) returns boolean
language plpgsql security definer set search_path = ''
as $$
#variable_conflict use_column
begin
  insert into public.title_mappings as m (mal_id, provider, mapping, by_operator, expires_at)
  values (save_title_mapping.mal_id, save_title_mapping.provider, save_title_mapping.mapping, save_title_mapping.by_operator,
    case when ttl_seconds is not null then clock_timestamp() + make_interval(secs => ttl_seconds) end)
  on conflict (mal_id, provider) do update
    set mapping = excluded.mapping, by_operator = excluded.by_operator, expires_at = excluded.expires_at, updated_at = clock_timestamp()
    where excluded.by_operator or not m.by_operator;
  return found;
end
$$;
comment on function public.save_title_mapping(int, text, jsonb, int, boolean) is
  'Saves a mapping; returns false if the operator has set one, which is never overwritten by a search.';

create function public.save_metadata(key text, value jsonb, ttl_seconds int) returns void
language sql security definer set search_path = ''
as $$
  insert into public.metadata_cache as m (key, value, expires_at)
  values (save_metadata.key, save_metadata.value, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => ttl_seconds))
  on conflict on constraint metadata_cache_pkey do update set value = excluded.value, expires_at = excluded.expires_at
$$;
comment on function public.save_metadata(text, jsonb, int) is
  'Caches a response of the metadata service for ttl_seconds.';

create function public.read_metadata(key text) returns jsonb
language sql stable security definer set search_path = ''
as $$
  select m.value from public.metadata_cache m where m.key = read_metadata.key and m.expires_at > pg_catalog.clock_timestamp()
$$;
comment on function public.read_metadata(text) is 'Returns the cached response, or null.';
