-- Internal tables and functions. The API exposes the schema public only; its functions reach this
-- one as their owner.
create schema keepstream;
comment on schema keepstream is 'Internal state of the queue, not exposed through the API.';

revoke all on schema keepstream from public;

create table keepstream.settings (
  singleton boolean primary key default true,
  max_waiting_jobs int not null default 50000,
  max_candidates int not null default 16,
  event_retention_days int not null default 90,
  source_list_retention_days int not null default 7,
  client_requests_per_minute int not null default 120,
  constraint settings_has_one_row check (singleton),
  constraint settings_are_positive check (
    max_waiting_jobs > 0 and max_candidates > 0 and event_retention_days > 0
    and source_list_retention_days > 0 and client_requests_per_minute > 0
  )
);
comment on table keepstream.settings is 'Limits that an operator may change: one row, typed columns.';
alter table keepstream.settings enable row level security;
insert into keepstream.settings default values;

-- Error texts may quote URLs with tokens. Rows are kept for months and shown on dashboards, so
-- query strings, user info, Hub tokens and bearer values are removed here too, not only by the
-- caller.
create function keepstream.redact(message text) returns text
language plpgsql immutable strict parallel safe set search_path = ''
as $$
begin
  return left(
    regexp_replace(
      regexp_replace(
        regexp_replace(
          regexp_replace(
            left(message, 8192),
            '(https?://)[^/@[:space:]]*@', '\1', 'gi'),
          '(https?://[^[:space:]?#"''<>]*)[?#][^[:space:]"''<>]*', '\1?…', 'gi'),
        '\mhf_(?!token_)[A-Za-z0-9]{4,}', 'hf_…', 'g'),
      '\m(bearer|basic|token)([[:space:]:=]+)[A-Za-z0-9._~+/=-]{8,}', '\1\2…', 'gi'),
    2000);
end
$$;
comment on function keepstream.redact(text) is
  'Removes secrets and URL query strings from an error text and truncates it to 2000 characters.';
