-- Archiving rights: what may be archived, and the trigger that notes when an entry changes.

-- Rights are declared by visible text. White space, control and format characters and characters
-- without a glyph (Unicode's White_Space, Cc, Cf, Default_Ignorable_Code_Point,
-- Noncharacter_Code_Point and script blanks) declare nothing. core/rights.ts has the same list.
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
comment on function keepstream.declared_rights(text) is
  'Trims invisible characters from both ends; null if nothing is left, which declares no rights.';

-- The only rule for what may be archived; every function that creates or continues a job calls it.
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
  'Whether the provider is enabled and archiving rights are declared: by its entry, or, for the recipe catalogue, '
  'by the episode''s entry.';

create function keepstream.missing_rights_message() returns text
language sql immutable parallel safe set search_path = ''
as $$ select 'no archiving rights are declared for this video' $$;

create table keepstream.rights_review (
  singleton boolean primary key default true,
  changed_at timestamptz not null default now(),
  constraint rights_review_has_one_row check (singleton)
);
comment on table keepstream.rights_review is
  'When a provider or catalogue entry last changed. For ten minutes after that, each sweep ends jobs that have lost '
  'their rights.';
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
