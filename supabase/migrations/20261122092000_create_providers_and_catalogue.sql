-- What the operator configures: where lists of servers come from, and titles of their own.
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
comment on table public.providers is 'The operator''s provider list; nothing is archived for an entry without rights.';
comment on column public.providers.rights is 'Why the operator may keep copies. Null or invisible text: streamed, never archived.';
alter table public.providers enable row level security;

-- Lists of servers hold addresses that are shown to viewers. What is no text is refused by whoever reads it.
create function keepstream.urls_are_http(list jsonb) returns boolean
language sql immutable parallel safe set search_path = ''
as $$
  select not (
    pg_catalog.jsonb_path_exists(list, '$[*].url ? (@.type() == "string" && !(@ like_regex "^https?://[^[:cntrl:]]+$" flag "i"))')
    or pg_catalog.jsonb_path_exists(list, '$[*].embed_url ? (@.type() == "string" && !(@ like_regex "^https?://[^[:cntrl:]]+$" flag "i"))')
    or pg_catalog.jsonb_path_exists(list, '$[*].video_url ? (@.type() == "string" && !(@ like_regex "^https?://[^[:cntrl:]]+$" flag "i"))')
    or pg_catalog.jsonb_path_exists(list, '$[*].subtitles[*].url ? (@.type() == "string" && !(@ like_regex "^https?://[^[:cntrl:]]+$" flag "i"))'))
$$;
comment on function keepstream.urls_are_http(jsonb) is 'Whether every address of a list of servers, and of their subtitles, is http(s).';

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
comment on table public.catalogue is 'The operator''s own episodes: sources is a list of {url, resolution, kind, label, subtitles}.';
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
comment on table public.title_mappings is 'Where a title lives at a provider, found or given; {} with expires_at is "looked for, not there".';
alter table public.title_mappings enable row level security;

create table public.metadata_cache (
  key text primary key,
  value jsonb not null,
  expires_at timestamptz not null,
  constraint metadata_cache_key_is_short check (length(key) between 1 and 500)
);
comment on table public.metadata_cache is 'Answers of the metadata service, kept until they expire.';
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
comment on function public.save_title_mapping(int, text, jsonb, int, boolean) is 'Keeps a mapping; false when the operator''s own stands in its place.';

create function public.save_metadata(key text, value jsonb, ttl_seconds int) returns void
language sql security definer set search_path = ''
as $$
  insert into public.metadata_cache as m (key, value, expires_at)
  values (save_metadata.key, save_metadata.value, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => ttl_seconds))
  on conflict on constraint metadata_cache_pkey do update set value = excluded.value, expires_at = excluded.expires_at
$$;
comment on function public.save_metadata(text, jsonb, int) is 'Keeps an answer of the metadata service for ttl_seconds.';

create function public.read_metadata(key text) returns jsonb
language sql stable security definer set search_path = ''
as $$
  select m.value from public.metadata_cache m where m.key = read_metadata.key and m.expires_at > pg_catalog.clock_timestamp()
$$;
comment on function public.read_metadata(text) is 'A kept answer, or null.';

-- A right is declared by text that somebody can see: not by white space, controls, format characters, or what is drawn as
-- nothing (Unicode's White_Space, Cc, Cf, Default_Ignorable_Code_Point and Noncharacter_Code_Point, and blanks of scripts). core/rights.ts says the same.
create function keepstream.declared_rights(rights text) returns text
language plpgsql immutable parallel safe set search_path = ''
as $$
declare
  invisible constant text := '[\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u115f-\u1160\u1680\u17b4-\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f'
    '\u2800\u3000\u3164\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\ufffe-\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U00013441-\U00013442\U00016fe4\U0001bca0-\U0001bca3'
    '\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000efffe-\U000effff\U0001fffe-\U0001ffff\U0002fffe-\U0002ffff\U0003fffe-\U0003ffff\U0004fffe-\U0004ffff\U0005fffe-\U0005ffff\U0006fffe-\U0006ffff\U0007fffe-\U0007ffff\U0008fffe-\U0008ffff\U0009fffe-\U0009ffff\U000afffe-\U000affff\U000bfffe-\U000bffff\U000cfffe-\U000cffff\U000dfffe-\U000dffff\U000ffffe-\U000fffff\U0010fffe-\U0010ffff]+';
begin
  return nullif(regexp_replace(rights, '^' || invisible || '|' || invisible || '$', '', 'g'), '');
end
$$;
comment on function keepstream.declared_rights(text) is 'The text without invisible ends; null when nothing is left, and no right is declared.';

-- The one place that says what may be archived: what a declared right covers, and nothing else, whoever asks for it.
create function keepstream.archiving_allowed(mal_id int, episode int, provider text) returns boolean
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_generic_plan
as $$
begin
  return exists (
    select from public.providers p
    where p.name = archiving_allowed.provider and p.enabled and keepstream.declared_rights(case
      when p.recipe = 'catalogue' then (
        select c.rights from public.catalogue c where c.mal_id = archiving_allowed.mal_id and c.episode = archiving_allowed.episode)
      else p.rights
    end) is not null);
end
$$;
comment on function keepstream.archiving_allowed(int, int, text) is
  'Whether the provider''s entry – of a catalogue the episode''s – is enabled and declares archiving rights.';

create function keepstream.missing_rights_message() returns text
language sql immutable parallel safe set search_path = ''
as $$ select 'no archiving rights are declared for this video' $$;

-- The rule of archiving_allowed for all waiting jobs at once.
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
comment on function keepstream.end_jobs_without_rights() is 'Makes waiting jobs that no declared right covers (any more) dead letters: 5000 at a time and none that someone else holds; the sweeps of the next minutes end the rest.';

create table keepstream.rights_review (
  singleton boolean primary key default true,
  changed_at timestamptz not null default now(),
  constraint rights_review_has_one_row check (singleton)
);
comment on table keepstream.rights_review is 'When an entry last changed: for ten minutes after that, each sweep looks for jobs without a right.';
alter table keepstream.rights_review enable row level security;
insert into keepstream.rights_review default values;

create function keepstream.review_rights() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  update keepstream.rights_review r set changed_at = clock_timestamp() where r.singleton;
  return null;
end
$$;
create trigger providers_have_rights_reviewed after update or delete or truncate on public.providers
  for each statement execute function keepstream.review_rights();
create trigger catalogue_has_rights_reviewed after update or delete or truncate on public.catalogue
  for each statement execute function keepstream.review_rights();

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
    lock table public.providers in share row exclusive mode; -- two lists that each leave out the other's entry
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
  'Makes the provider list equal to entries, in their order; returns {added, changed, removed, unchanged}. A dry run changes nothing.';

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
  'Adds or changes catalogue entries, removes none; returns {added, changed, unchanged}. A dry run changes nothing.';
